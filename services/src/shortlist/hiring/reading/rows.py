"""Rows of Postgres as the contract's views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from shortlist.hiring.views import (
    ERASED,
    Applicant,
    AuditActor,
    AuditEvent,
    Entry,
    Event,
    Job,
    ListedEntry,
    ScoreReasons,
    SequencedEvent,
    StatusApplication,
)
from shortlist.storage.postgres.queries.hiring import codec

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    Row = Mapping[str, Any]

J = TypeVar("J", bound=Job)


def job_of(row: Row) -> Job:
    """Return an opening of ``jobs.openings`` or ``jobs.opening``."""
    return Job(**job_fields(row))


def job_fields(row: Row) -> dict[str, Any]:
    """Return the fields of `Job`."""
    return {
        "id": row["id"],
        "title": row["title"],
        "description": row["description"],
        "capacity": row["capacity"],
        "active_count": row["held"],
        "waitlist_count": row["waiting"],
        "created_at": row["created_at"],
        "ack_window_seconds": row["ack_window_seconds"],
        "order": row["line_order"],
        "pipeline": row["pipeline"],
        "confirm": row["confirm"],
        "fill_from": row["fill_from"],
        "closes_at": row["closes_at"],
        "max_misses": row["max_misses"],
        "answer_hours": row["answer_hours"],
        "verify_email": row["verify_email"],
        "state": row["state"],
        "version": row["version"],
    }


def zone_of(row: Row) -> str:
    """Return in which zone an opening's times are told: its answer hours', else UTC."""
    hours = row["answer_hours"]
    return str(hours["zone"]) if hours else "UTC"


def applicant_of(row: Row) -> Applicant:
    """Return an applicant's row."""
    return Applicant(
        id=row["id"], name=row["name"], email=row["email"], created_at=row["created_at"]
    )


def entry_fields(row: Row, position: int | None) -> dict[str, Any]:
    """Return the fields of `Entry`."""
    return {
        "application_id": row["id"],
        "applicant_id": row["applicant_id"],
        "applicant_name": row["name"] or ERASED,
        "applicant_email": row["email"],
        "status": codec.STATUS_OF[row["status"]],
        "queue_position": position,
        "applied_at": row["applied_at"],
        "promoted_at": row["promoted_at"],
        "acknowledge_deadline": row["deadline"],
    }


def entry_of(row: Row, position: int | None) -> Entry:
    """Return a placement with its applicant; ``position``: None unless it waits."""
    return Entry(**entry_fields(row, position))


def listed_fields(row: Row, position: int | None) -> dict[str, Any]:
    """Return the fields of `ListedEntry`."""
    more = {"score": row["score"], "penalty_count": row["misses"]}
    return {**entry_fields(row, position), **more}


def listed_of(row: Row, position: int | None) -> ListedEntry:
    """Return a placement of a company's list."""
    return ListedEntry(**listed_fields(row, position))


def application_of(row: Row, position: int | None, now: dt.datetime) -> StatusApplication:
    """Return one of an applicant's placements at a time of Postgres's clock."""
    return StatusApplication(
        application_id=row["id"],
        job_id=row["opening_id"],
        job_title=row["title"],
        status=codec.STATUS_OF[row["status"]],
        queue_position=position,
        applied_at=row["applied_at"],
        promoted_at=row["promoted_at"],
        acknowledge_deadline=row["deadline"],
        time_in_current_state_seconds=max(0, int((now - row["since"]).total_seconds())),
    )


def event_fields(row: Row) -> dict[str, Any]:
    """Return the fields of `Event`."""
    return {
        "id": row["id"],
        "application_id": row["placement_id"],
        "event_type": codec.EVENT_OF[row["type"]],
        "from_status": row["from_status"] and codec.STATUS_OF[row["from_status"]],
        "to_status": row["to_status"] and codec.STATUS_OF[row["to_status"]],
        "metadata": row["metadata"],
        "created_at": row["at"],
    }


def event_of(row: Row) -> Event:
    """Return an event of a timeline or a replay."""
    return Event(**event_fields(row))


def sequenced_of(row: Row) -> SequencedEvent:
    """Return an event of a stream."""
    return SequencedEvent(**event_fields(row), job_id=row["opening_id"], sequence=row["sequence"])


def audited_of(row: Row) -> AuditEvent:
    """Return an event of an exported log."""
    return AuditEvent(
        **event_fields(row),
        job_id=row["opening_id"],
        sequence=row["sequence"],
        actor=AuditActor(kind=codec.ACTOR_OF[row["actor_kind"]], reference=row["actor"]),
        held=row["held"],
        waiting=row["waiting"],
        digest=row["digest"].hex(),
    )


def reasons_of(row: Row) -> ScoreReasons:
    """Return why a payload has its score."""
    return ScoreReasons(
        status=row["status"],
        score=row["score"],
        reason=row["reason"],
        detail=row["detail"],
        finished_at=row["finished_at"],
    )
