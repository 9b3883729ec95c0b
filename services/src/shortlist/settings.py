"""Every setting, in one place, a class for each process: it reads and refuses only what it uses.

``shortlist settings [PROCESS]`` prints them with their source.

Twelve-factor: each comes from the environment as ``SHORTLIST_<NAME>``, or by the name that the
ecosystem gave it (``DATABASE_URL``, ``REDIS_URL``, ``ANTHROPIC_API_KEY``,
``OTEL_EXPORTER_OTLP_ENDPOINT``), in any case. Units are last in the names. ``docs/settings.md`` is
generated from these classes and checked against them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from shortlist.domain.line.application import PIPELINE_NAME_PATTERN, ConnectionMode
from shortlist.domain.networks import parse_networks
from shortlist.urls import DatabaseUrl, Pooler, RedisUrl
from shortlist.urls.database import POOLER_CLIENTS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PREFIX = "SHORTLIST_"
"""Of the environment variables that have no name of their own."""

Name = Annotated[str, StringConstraints(pattern=PIPELINE_NAME_PATTERN)]


def _hops(value: Any) -> Any:
    """``true`` and ``false`` were the only values once."""
    return {"true": 1, "false": 0}.get(value.lower(), value) if isinstance(value, str) else value


def _are_networks(text: str) -> str:
    parse_networks(text)
    return text


class CommonSettings(BaseModel):
    """What every process may be told. Bad values are refused at start, each with its reason."""

    model_config = ConfigDict(
        extra="ignore",
        populate_by_name=True,
        frozen=True,
        hide_input_in_errors=True,  # it may be a secret
        defer_build=True,  # a process has a use for one of these classes
    )

    database_url: DatabaseUrl = Field(
        DatabaseUrl(""),
        validation_alias=AliasChoices("database_url", "DATABASE_URL"),
        description="Postgres, 14 or newer: the truth. Never guessed: without it only `up` starts.",
    )
    redis_url: RedisUrl = Field(
        RedisUrl(""),
        validation_alias=AliasChoices("redis_url", "REDIS_URL"),
        description="Redis or Valkey, 6.2 or newer: the line. Never guessed either.",
    )
    pgbouncer: bool = Field(
        False,
        description=(
            "Postgres is behind a pooler in transaction mode; `pgbouncer=true` in DATABASE_URL "
            "says the same."
        ),
    )
    pgbouncer_connections: int = Field(
        POOLER_CLIENTS,
        ge=1,
        description="Clients that the pooler lets in (its `max_client_conn`): the budget's source.",
    )
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on: this machine's own, where nothing else is said; the "
        "images say 0.0.0.0, all of a pod's.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    listen_fd: int | None = Field(
        None,
        ge=3,
        description="A listening socket that was inherited, to serve on instead of host and port.",
    )
    allowed_hosts: str = Field(
        "",
        description=(
            "Names, split by commas, by which a listener on loopback may be called beside "
            "localhost and its addresses; others get 403."
        ),
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of its own for /healthz, /readyz and /metrics, which a full house does"
        " not close; the public one has no /metrics then.",
    )
    metrics_listen_fd: int | None = Field(
        None, ge=3, description="A listening socket that was inherited, for the same."
    )
    drain_timeout_seconds: float = Field(
        60.0, ge=0, description="How long a stopping process may finish what it holds."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe message that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="JSON lines for machines, or text for people."
    )
    otlp_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="OTLP/HTTP collector; traces are recorded only when it is set.",
    )
    trace_sample_ratio: float = Field(
        1.0, ge=0, le=1, description="Share of traces recorded when no caller has decided."
    )
    trust_traceparent: bool = Field(
        False,
        description=(
            "Record all that a client's traceparent says is recorded, not only the share: for use "
            "behind a proxy or mesh that sets it."
        ),
    )

    @field_validator("host", "private_host", check_fields=False)
    @classmethod
    def _an_empty_host_is_not_every_host(cls, host: str) -> str:
        if not host.strip():  # for the system it would be 0.0.0.0: an unset "$HOST" opens all
            raise ValueError(
                "is empty; 127.0.0.1 is for this machine alone, 0.0.0.0 for every network"
            )
        return host

    @property
    def has_metrics_listener(self) -> bool:
        """Whether probes and metrics have a listener of their own."""
        return self.metrics_port is not None or self.metrics_listen_fd is not None

    @model_validator(mode="after")
    def _the_url_knows_of_the_pooler(self) -> Self:
        """So that one place knows, whichever way it was told."""
        for name, url in list(self.__dict__.items()):
            if isinstance(url, DatabaseUrl) and url and (self.pgbouncer or url.pooler):
                # The model is frozen for everyone else.
                self.__dict__[name] = url.behind(Pooler(self.pgbouncer_connections))
        return self


class IngestSettings(CommonSettings):
    """What ingest may be told."""

    private_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of its own for leaderboards, pages, /docs and /metrics; the public one"
        " answers 404 to these then. It serves everything else too.",
    )
    private_host: str = Field("127.0.0.1", description="Address that the private port is on.")
    private_listen_fd: int | None = Field(
        None, ge=3, description="A listening socket that was inherited, for the same."
    )
    dashboard_url: str | None = Field(
        None, description="Where the dashboard listens; ingest passes pages through to it."
    )
    connection_limit: int = Field(
        16_000, ge=1, description="Connections open at once; who asks on one more gets 503."
    )
    connection_limit_per_network: int | None = Field(
        None,
        ge=1,
        description="The same for the connections of one network; unset: half of all.",
    )
    client_memory_bytes: int | None = Field(
        None,
        ge=1 << 20,
        description="What connections and unfinished requests may take; unset: half of what the"
        " process may have, 1 GiB at most.",
    )
    client_ipv6_prefix: int = Field(
        64, ge=16, le=128, description="Bits that the IPv6 addresses of one client have in common."
    )
    trusted_proxies: Annotated[str, AfterValidator(_are_networks)] = Field(
        "",
        description="Addresses and networks of the proxies in front, split by commas: their"
        " X-Forwarded-For counts, and no limit of a network is theirs.",
    )
    body_limit_bytes: int = Field(65_536, ge=1, description="A longer request body gets 413.")
    body_timeout_seconds: float = Field(
        10.0, gt=0, description="A request that has not arrived whole by then gets 408."
    )
    commit_timeout_seconds: float = Field(
        1.5, gt=0, description="What Postgres has not committed or answered by then gets 503."
    )
    accept_backlog: int = Field(
        10_000, ge=1, description="Accepts that may wait for a commit at once; more get 503."
    )
    accept_flushers: int = Field(
        2, ge=1, le=8, description="Group commits that may overlap, one connection each."
    )
    read_connections: int = Field(4, ge=1, description="Connections that ingest reads with.")
    rate_limit_per_second: float = Field(
        0.0, ge=0, description="Requests per second and client that are answered; 0: no limit."
    )
    rate_limit_burst: int = Field(
        100, ge=1, description="Requests that a client may send at once before the rate counts."
    )
    trust_forwarded_for: Annotated[int, BeforeValidator(_hops)] = Field(
        0,
        ge=0,
        le=16,
        description="How many proxies in front append to X-Forwarded-For, whatever their addresses"
        " (`true`: 1).",
    )

    @property
    def has_private_listener(self) -> bool:
        """Whether what is for staff has a listener of its own."""
        return self.private_port is not None or self.private_listen_fd is not None


class WorkerSettings(CommonSettings):
    """What a worker may be told, its scorer included."""

    pipeline: Name = Field("default", description="The pipeline whose line a worker serves.")
    concurrency: int = Field(10, ge=1, le=10_000, description="Applications at once per worker.")
    connection_mode: ConnectionMode = Field(
        "perJob", description="perJob: a connection for each score; perWrite: only to write."
    )
    connection_overhead: int = Field(
        1,
        ge=1,
        description="k: connections of a worker beside its scores'; above 1 it claims ahead.",
    )
    initial_grant: int | None = Field(
        None,
        ge=2,
        description="Connections before the first grant; unset: what the concurrency wants.",
    )
    max_attempts: int = Field(5, ge=1, description="Errors after which an application has failed.")
    score_timeout_seconds: float = Field(
        120.0, gt=0, description="A score that takes longer counts as an error."
    )

    scorer: Literal["simulated", "claude"] = Field("simulated", description="Who scores.")
    service_seconds: float = Field(1.5, ge=0, description="simulated: mean time of a score.")
    service_cv: float = Field(
        0.0,
        ge=0,
        le=10,
        description="simulated: its spread (sd ÷ mean), lognormal; 0: constant.",
    )
    anthropic_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("anthropic_api_key", "ANTHROPIC_API_KEY"),
        description="claude: the key.",
    )
    anthropic_base_url: str | None = Field(
        None,
        validation_alias=AliasChoices("anthropic_base_url", "ANTHROPIC_BASE_URL"),
        description="claude: another server that speaks the Messages API.",
    )
    model: str = Field("claude-sonnet-5-5", description="claude: the model.")
    model_timeout_seconds: float = Field(60.0, gt=0, description="claude: time for one reply.")
    rubric: str | None = Field(
        None, min_length=1, description="claude: the text of what to judge by; unset: its own."
    )
    requests_per_minute: int | None = Field(
        None,
        ge=1,
        description="Scores that all workers of the pipeline may start together; unset: no limit.",
    )
    tokens_per_minute: int | None = Field(
        None,
        ge=1,
        description="Tokens, input and output, that they may use together; unset: no limit.",
    )

    @model_validator(mode="after")
    def _claude_needs_a_key(self) -> Self:
        if self.scorer == "claude" and self.anthropic_api_key is None:
            raise ValueError("scorer 'claude' needs ANTHROPIC_API_KEY")
        return self


class MaintenanceSettings(CommonSettings):
    """What maintenance may be told."""

    maintenance_lease_seconds: float = Field(
        3.0, ge=1, description="A maintenance leader that says nothing for so long is replaced."
    )
    sweep_interval_seconds: float = Field(
        2.0, gt=0, description="How often maintenance looks for lost applications."
    )
    retention_days: float = Field(
        90.0, ge=0, description="Finished applications are removed after this; 0: never."
    )
    retention_action: Literal["archive", "delete"] = Field(
        "delete", description="Whether removed applications are kept in archived_applications."
    )
    idempotency_hours: float = Field(
        24.0, gt=0, description="How long an Idempotency-Key is remembered."
    )


class DashboardSettings(CommonSettings):
    """What the dashboard may be told."""

    reader_database_url: DatabaseUrl = Field(
        DatabaseUrl(""),
        validation_alias=AliasChoices("reader_database_url", "READER_DATABASE_URL"),
        description="Postgres for the dashboard, by a role that only reads; unset: DATABASE_URL.",
    )

    @property
    def read_url(self) -> DatabaseUrl:
        """What the dashboard connects by."""
        return self.reader_database_url or self.database_url


class MigrateSettings(DashboardSettings):
    """What ``migrate`` may be told: all roles, as it makes those that are missing."""

    admin_database_url: DatabaseUrl = Field(
        DatabaseUrl(""),
        validation_alias=AliasChoices("admin_database_url", "ADMIN_DATABASE_URL"),
        description="Postgres for `migrate`, by a superuser, to make the role of OWNER_DATABASE_URL"
        " and hand over what is there; unset: that role was made by others.",
    )
    owner_database_url: DatabaseUrl = Field(
        DatabaseUrl(""),
        validation_alias=AliasChoices("owner_database_url", "OWNER_DATABASE_URL"),
        description="Postgres for `migrate`, by the tables' owner; unset: DATABASE_URL.",
    )

    @property
    def owner_url(self) -> DatabaseUrl:
        """What ``migrate`` connects by."""
        return self.owner_database_url or self.database_url

    @property
    def owner_variable(self) -> str:
        """What says so."""
        return "OWNER_DATABASE_URL" if self.owner_database_url else "DATABASE_URL"


class Settings(IngestSettings, WorkerSettings, MaintenanceSettings, MigrateSettings):
    """What ``shortlist up`` may be told: everything, as it hands it on to its processes."""


PROCESSES: dict[str, type[CommonSettings]] = {
    "ingest": IngestSettings,
    "worker": WorkerSettings,
    "maintenance": MaintenanceSettings,
    "dashboard": DashboardSettings,
    "migrate": MigrateSettings,
    "requeue": CommonSettings,
    "up": Settings,
}
"""By command."""

DATABASE, REDIS = ("database_url",), ("redis_url",)
SERVERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "ingest": (DATABASE, REDIS),
    "worker": (DATABASE, REDIS),
    "maintenance": (DATABASE, REDIS),
    "dashboard": (("reader_database_url", "database_url"), REDIS),
    "migrate": (("owner_database_url", "database_url"),),
    "requeue": (DATABASE,),
}
"""By command: the servers without which it does not start; of each group one setting is enough."""


class BadSettingsError(ValueError):
    """Some settings cannot be used; the message names each and says why, on one line."""


AnySettings = TypeVar("AnySettings", bound=CommonSettings)


def load(
    kind: type[AnySettings],
    flags: Mapping[str, Any],
    needed: Collection[tuple[str, ...]] = (),
) -> AnySettings:
    """Settings from the environment, overridden by ``flags`` (field name → value).

    ``needed``: URLs of servers, without which nothing starts, as no process guesses where one is;
    of each group one is enough.
    Raises `BadSettingsError`, whose message repeats no value: it may be a secret.
    """
    try:
        settings = kind(**{**environment(kind), **flags})
    except ValidationError as error:
        problems = [_problem(kind, e, flags) for e in error.errors(include_input=False)]
        raise BadSettingsError("; ".join(problems)) from None
    missing = [
        " or ".join(variable(name, kind) for name in group)
        for group in needed
        if not any(getattr(settings, name) for name in group)
    ]
    if missing:
        raise BadSettingsError(
            f"{' and '.join(missing)} not set: no server is guessed. Say where it is, or name the "
            "data directory of a shortlist up: shortlist --data DIR COMMAND"
        )
    return settings


def environment(kind: type[CommonSettings]) -> dict[str, Any]:
    """What the environment says of the fields of a class, by their names."""
    told = {name.upper(): value for name, value in os.environ.items()}
    names = {name: variable(name, kind) for name in kind.model_fields}
    return {name: told[of] for name, of in names.items() if of in told}


def variable(name: str, kind: type[CommonSettings] = Settings) -> str:
    """The environment variable that sets a field."""
    alias = kind.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return next(str(choice) for choice in alias.choices if str(choice).isupper())
    return f"{PREFIX}{name.upper()}"


def _problem(kind: type[CommonSettings], error: Any, flags: Mapping[str, Any]) -> str:
    """One bad value in words, without the value."""
    message = error["msg"].removeprefix("Value error, ")
    place = str(error["loc"][0]) if error["loc"] else ""
    if not place:
        return str(message)
    fields = kind.model_fields
    name = next((n for n in fields if place in (n, variable(n, kind))), place)
    if name in flags:
        return f"--{name.replace('_', '-')}: {message}"
    return f"{variable(name, kind) if name in fields else name}: {message}"
