"""What an application is, and the states it can be in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NewType
from uuid import UUID

if TYPE_CHECKING:
    import datetime as dt

ApplicationId = NewType("ApplicationId", UUID)
WorkerId = NewType("WorkerId", UUID)
PipelineName = NewType("PipelineName", str)

Status = Literal["pending", "scoring", "scored", "failed"]
FinalStatus = Literal["scored", "failed"]
ConnectionMode = Literal["perJob", "perWrite"]

PIPELINE_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""A DNS label, as Kubernetes wants names; the same check stands in the database."""

DEFAULT_PIPELINE = PipelineName("default")
ANONYMOUS = "anonymous"
"""What is shown for a job of the job-server contract, which names no candidate."""


@dataclass(frozen=True, slots=True)
class NewApplication:
    """A submission that passed the checks of ingest and waits for its commit."""

    id: ApplicationId
    pipeline: PipelineName
    candidate: str | None
    payload: str
    traceparent: str | None = None
    idempotency_key: str | None = None
    body_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's exclusive right to score one application.

    ``attempt`` is the fence: 1 for the first claim ever, one more for each that follows. What
    the holder writes counts only while no higher attempt exists.
    """

    application_id: ApplicationId
    attempt: int
    candidate: str | None
    payload: str
    traceparent: str | None
    waited_seconds: float
    """Since it was accepted, by Postgres's clock, when it was claimed."""
    claimed_at: float
    """By the worker's `time.monotonic`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of one application: a score (0 to 100), or a reason why there is none."""

    application_id: ApplicationId
    attempt: int
    status: FinalStatus
    score: float | None
    reason: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApplicationView:
    """One application as its reader sees it. Times are aware, in UTC."""

    id: ApplicationId
    pipeline: PipelineName
    candidate: str
    status: Status
    attempts: int
    accepted_at: dt.datetime
    score: float | None = None
    reason: str | None = None
    finished_at: dt.datetime | None = None

    @property
    def is_final(self) -> bool:
        """Whether no worker will touch it again (a requeue or a person still may)."""
        return self.status in ("scored", "failed")


MOST_AHEAD_MILLISECONDS = 400 * 86_400_000
"""An id that is further ahead of Postgres's clock was made by no clock of ours: it is not followed,
so that one odd row does not use up the time that ids can tell."""


def milliseconds_of(application_id: UUID) -> int:
    """Return when an id was made, in milliseconds since 1970: a UUIDv7's first 48 bits."""
    return application_id.int >> 80


def lowest_id_at(milliseconds: int) -> UUID:
    """Make the smallest UUIDv7 that could be made at a time; below it is everything older."""
    return UUID(int=(max(0, milliseconds) << 80) | (0x7 << 76) | (0x2 << 62))


def id_at(milliseconds: int, random_bits: int) -> ApplicationId:
    """Make a UUIDv7 (RFC 9562) of a time and of 74 bits of chance."""
    high, low = random_bits >> 62 & 0xFFF, random_bits & (1 << 62) - 1
    return ApplicationId(
        UUID(int=(milliseconds << 80) | (0x7 << 76) | (high << 64) | (0x2 << 62) | low)
    )
