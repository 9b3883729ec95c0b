"""What every process may be told, and how settings are read.

Each comes from the environment as ``SHORTLIST_<NAME>``, or by the name that the ecosystem gave it
(``DATABASE_URL``, ``REDIS_URL``, ``OTEL_EXPORTER_OTLP_ENDPOINT``), in any case. Units are last in
the names.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from shortlist.domain.errors import ShortlistError
from shortlist.urls import DatabaseUrl, Pooler, RedisUrl
from shortlist.urls.database import POOLER_CLIENTS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PREFIX = "SHORTLIST_"
"""Of the environment variables that have no name of their own."""

PROTOCOL: dict[str, JsonValue] = {"protocol": True}
"""Marks a field by which a supervisor or the operator tells a process something. No person sets it,
so it is not printed."""


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
        json_schema_extra=PROTOCOL,
        description="A listening socket that was inherited, to serve on instead of host and port.",
    )
    listen_twin_fd: int | None = Field(
        None,
        ge=3,
        json_schema_extra=PROTOCOL,
        description="A second one, on ::1 beside 127.0.0.1.",
    )
    start_fd: int | None = Field(
        None,
        ge=3,
        json_schema_extra=PROTOCOL,
        description="A pipe that was inherited: no server is asked before its writer closes it.",
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
        description="Port of its own for /healthz, /readyz and /metrics, which a full listener does"
        " not close; the public one has no /metrics then.",
    )
    metrics_listen_fd: int | None = Field(
        None,
        ge=3,
        json_schema_extra=PROTOCOL,
        description="A listening socket that was inherited, for the same.",
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
        1.0,
        ge=0,
        le=1,
        validation_alias=AliasChoices("trace_sample_ratio", "OTEL_TRACES_SAMPLER_ARG"),
        description="Share of traces recorded when no caller has decided: of OpenTelemetry's"
        " sampler `parentbased_traceidratio`.",
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


class BadSettingsError(ShortlistError, ValueError):
    """Some settings cannot be used; the message names each and says why, on one line."""


AnySettings = TypeVar("AnySettings", bound=CommonSettings)


def load(
    kind: type[AnySettings],
    flags: Mapping[str, Any],
    needed: Collection[tuple[str, ...]] = (),
) -> AnySettings:
    """Read settings from the environment, overridden by ``flags`` (field name → value).

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
    """Read what the environment says of the fields of a class, by their names."""
    told = {name.upper(): value for name, value in os.environ.items()}
    names = {name: variable(name, kind) for name in kind.model_fields}
    return {name: told[of] for name, of in names.items() if of in told}


def variable(name: str, kind: type[CommonSettings]) -> str:
    """Name the environment variable that sets a field."""
    alias = kind.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return next(str(choice) for choice in alias.choices if str(choice).isupper())
    return f"{PREFIX}{name.upper()}"


def _problem(kind: type[CommonSettings], error: Any, flags: Mapping[str, Any]) -> str:
    """Describe one bad value in words, without the value."""
    message = error["msg"].removeprefix("Value error, ")
    place = str(error["loc"][0]) if error["loc"] else ""
    if not place:
        return str(message)
    fields = kind.model_fields
    name = next((n for n in fields if place in (n, variable(n, kind))), place)
    if name in flags:
        return f"--{name.replace('_', '-')}: {message}"
    return f"{variable(name, kind) if name in fields else name}: {message}"
