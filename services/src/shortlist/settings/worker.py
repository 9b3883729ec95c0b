"""What a worker may be told, its scorer included."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, StringConstraints, model_validator

from shortlist.domain.line.application import PIPELINE_NAME_PATTERN, ConnectionMode
from shortlist.settings.base import PROTOCOL, CommonSettings

Name = Annotated[str, StringConstraints(pattern=PIPELINE_NAME_PATTERN)]


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
        json_schema_extra=PROTOCOL,
        description="Connections before the first grant; unset: what the concurrency wants.",
    )
    max_attempts: int = Field(5, ge=1, description="Errors after which an application has failed.")
    score_timeout_seconds: float = Field(
        120.0, gt=0, description="A score that takes longer counts as an error."
    )

    scorer: Literal["simulated", "claude"] = Field("simulated", description="The scorer.")
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
