"""Every setting, in one place. ``shortlist settings`` prints them with their source.

Twelve-factor: each comes from the environment as ``SHORTLIST_<NAME>``, or by the name that the
ecosystem gave it (``DATABASE_URL``, ``REDIS_URL``, ``ANTHROPIC_API_KEY``,
``OTEL_EXPORTER_OTLP_ENDPOINT``). Units are last in the names. ``docs/settings.md`` is generated
from this class and checked against it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shortlist.domain.application import ConnectionMode

PIPELINE_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""A DNS label, as Kubernetes wants names; the same check stands in the database."""

Name = Annotated[str, StringConstraints(pattern=PIPELINE_NAME_PATTERN)]


class Settings(BaseSettings):
    """What a process may be told. Bad values are refused at start, each with its reason."""

    model_config = SettingsConfigDict(
        env_prefix="SHORTLIST_", extra="ignore", populate_by_name=True, frozen=True
    )

    # --- where things are
    database_url: SecretStr = Field(
        SecretStr("postgresql://localhost/shortlist"),
        validation_alias=AliasChoices("database_url", "DATABASE_URL"),
        description="Postgres, 14 or newer: the truth.",
    )
    redis_url: SecretStr = Field(
        SecretStr("redis://localhost:6379/0"),
        validation_alias=AliasChoices("redis_url", "REDIS_URL"),
        description="Redis or Valkey, 6.2 or newer: the line.",
    )
    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 (in a pod: all)
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    listen_fd: int | None = Field(
        None,
        ge=3,
        description="A listening socket that was inherited, to serve on instead of host and port.",
    )
    dashboard_url: str | None = Field(
        None, description="Where the dashboard listens; ingest passes pages through to it."
    )

    # --- logs and traces
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
        1.0, ge=0, le=1, description="Share of traces recorded when nobody upstream decided."
    )

    # --- ingest
    connection_limit: int = Field(
        16_000, ge=1, description="Connections open at once; whoever asks on one more gets 503."
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
    trust_forwarded_for: bool = Field(
        False,
        description="Tell clients apart by X-Forwarded-For: for use behind a proxy.",
    )
    idempotency_hours: float = Field(
        24.0, gt=0, description="How long an Idempotency-Key is remembered."
    )

    # --- worker
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
        description="Connections before anybody grants some; unset: what the concurrency wants.",
    )
    drain_timeout_seconds: float = Field(
        60.0, ge=0, description="How long a stopping process may finish what it holds."
    )
    max_attempts: int = Field(5, ge=1, description="Errors after which an application has failed.")
    score_timeout_seconds: float = Field(
        120.0, gt=0, description="A score that takes longer counts as an error."
    )
    pgbouncer: bool = Field(
        False, description="Postgres is behind a transaction pooler: no prepared statements."
    )

    # --- scorer
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

    # --- maintenance
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

    @model_validator(mode="after")
    def _claude_needs_a_key(self) -> Settings:
        if self.scorer == "claude" and self.anthropic_api_key is None:
            raise ValueError("scorer 'claude' needs ANTHROPIC_API_KEY")
        return self
