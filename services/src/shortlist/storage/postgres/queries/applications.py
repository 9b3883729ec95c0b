"""Applications as they are accepted and as they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shortlist.domain.line.application import (
    ANONYMOUS,
    ApplicationId,
    ApplicationView,
    NewApplication,
    PipelineName,
    Status,
)
from shortlist.storage.faults import OutcomeError, has_state
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from shortlist.storage.postgres import Connection

_UNIQUE_VIOLATION = "23505"


@dataclass(frozen=True, slots=True)
class Accepted:
    """Committed as new."""

    id: ApplicationId


@dataclass(frozen=True, slots=True)
class Repeated:
    """The idempotency key was used before, with the same body, for this application."""

    id: ApplicationId


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The idempotency key was used before, with another body."""


@dataclass(frozen=True, slots=True)
class KeyContended:
    """Other processes were just using the idempotency key. Nothing was inserted; try again."""


AcceptOutcome = Accepted | Repeated | KeyReused | KeyContended


class DeadlineExceededError(OutcomeError):
    """Postgres came to it after the deadline. Nothing was inserted."""


@dataclass(frozen=True, slots=True)
class RankedApplication:
    """One line of a leaderboard."""

    id: ApplicationId
    candidate: str
    score: float
    accepted_at: dt.datetime
    finished_at: dt.datetime


async def accept(
    connection: Connection, group: Sequence[NewApplication], *, before: dt.datetime | None = None
) -> list[AcceptOutcome]:
    """Insert a group in one statement, which is one transaction; one outcome each, in order.

    May be repeated when the connection broke under it: what was committed is not inserted again.
    Raises `DeadlineExceededError` when Postgres comes to it after ``before``, by its own clock.
    """
    if all(a.idempotency_key is None for a in group):
        await _insert(connection, group, before)
        return [Accepted(a.id) for a in group]
    outcomes = await _insert_keyed(connection, group, before)
    contended = [a for a, o in zip(group, outcomes, strict=True) if isinstance(o, KeyContended)]
    if not contended:
        return outcomes
    again = dict(zip(contended, await _insert_keyed(connection, contended, before), strict=True))
    outcomes = [again.get(a, o) for a, o in zip(group, outcomes, strict=True)]
    if all(isinstance(outcome, KeyContended) for outcome in outcomes):
        raise DeadlineExceededError  # neither ours nor another's
    return outcomes


async def insert(connection: Connection, group: Sequence[NewApplication]) -> None:
    """Insert a group without idempotency keys, in a transaction that the caller has opened."""
    await SQL["applications.accept"].execute(connection, **_columns(group), before=None)


def _columns(group: Sequence[NewApplication]) -> dict[str, Any]:
    traceparents = [a.traceparent for a in group]
    return {
        "ids": [a.id for a in group],
        "pipelines": [a.pipeline for a in group],
        "candidates": [a.candidate for a in group],
        "payloads": [a.payload for a in group],
        # No array is as good as one of NULLs.
        "traceparents": traceparents if any(traceparents) else None,
    }


async def _insert(
    connection: Connection, group: Sequence[NewApplication], before: dt.datetime | None
) -> None:
    columns = _columns(group)
    try:
        tag = await SQL["applications.accept"].execute(connection, **columns, before=before)
    except Exception as error:
        if not await _was_committed(connection, columns["ids"], error):
            raise
    else:
        if tag == "INSERT 0 0" and not await _are_there(connection, columns["ids"]):
            raise DeadlineExceededError


async def _was_committed(connection: Connection, ids: Sequence[UUID], error: Exception) -> bool:
    """Tell whether it was refused because an earlier try was committed after all, all of it."""
    return has_state(error, _UNIQUE_VIOLATION) and await _are_there(connection, ids)


async def _are_there(connection: Connection, ids: Sequence[UUID]) -> bool:
    """Tell whether an earlier try, whose answer did not come, has inserted all of them."""
    there = await SQL["applications.count_existing"].fetchval(connection, ids=ids)
    return bool(there == len(ids))


async def _insert_keyed(
    connection: Connection, group: Sequence[NewApplication], before: dt.datetime | None
) -> list[AcceptOutcome]:
    try:
        rows = await SQL["applications.accept_keyed"].fetch(
            connection,
            **_columns(group),
            before=before,
            keys=[a.idempotency_key for a in group],
            body_hashes=[a.body_hash for a in group],
        )
        inserted = {row["id"] for row in rows}
    except Exception as error:
        inserted = {a.id for a in group if a.idempotency_key is None}
        if not await _was_committed(connection, list(inserted), error):
            raise
    missing = [a.id for a in group if a.idempotency_key is None and a.id not in inserted]
    if missing and not await _are_there(connection, missing):
        raise DeadlineExceededError
    inserted.update(missing)
    owners = await _owners(connection, [a for a in group if a.id not in inserted])
    return [_outcome(a, inserted, owners) for a in group]


async def _owners(connection: Connection, lost: Sequence[NewApplication]) -> dict[UUID, Any]:
    """Return who owns the keys of applications that were not inserted, by the ids of these."""
    if not lost:
        return {}
    rows = await SQL["applications.idempotency_owners"].fetch(
        connection,
        ids=[a.id for a in lost],
        pipelines=[a.pipeline for a in lost],
        are_jobs=[a.candidate is None for a in lost],
        keys=[a.idempotency_key for a in lost],
    )
    return {row["id"]: row for row in rows}


def _outcome(
    application: NewApplication, inserted: set[UUID], owners: dict[UUID, Any]
) -> AcceptOutcome:
    if application.id in inserted:
        return Accepted(application.id)
    owner = owners.get(application.id)
    if owner is None:
        return KeyContended()
    if owner["application_id"] == application.id:
        return Accepted(application.id)  # an earlier try was committed after all
    if owner["body_hash"] == application.body_hash:
        return Repeated(owner["application_id"])
    return KeyReused()


async def unfinished_count(
    connection: Connection, pipeline: PipelineName, *, before: UUID, limit: int
) -> int:
    """Count those with an id below ``before`` and no result; no further than ``limit``."""
    counted = SQL["applications.unfinished_count"].fetchval(
        connection, pipeline=pipeline, before=before, limit=limit
    )
    return int(await counted)


async def views(
    connection: Connection, ids: Iterable[ApplicationId]
) -> dict[ApplicationId, ApplicationView]:
    """Read the truth about some applications; ids that are unknown are left out."""
    rows = await SQL["applications.views"].fetch(connection, ids=list(ids))
    return {row["id"]: _view(row) for row in rows}


async def recent(connection: Connection, limit: int) -> list[ApplicationView]:
    """Read the newest applications, newest first."""
    rows = await SQL["applications.recent"].fetch(connection, limit=limit)
    return [_view(row) for row in rows]


async def leaderboard(
    connection: Connection, pipeline: PipelineName, limit: int
) -> list[RankedApplication]:
    """Best first, ties broken by who was accepted first."""
    rows = await SQL["applications.leaderboard"].fetch(connection, pipeline=pipeline, limit=limit)
    return [
        RankedApplication(
            id=row["id"],
            candidate=row["candidate"] or ANONYMOUS,
            score=row["score"],
            accepted_at=row["accepted_at"],
            finished_at=row["finished_at"],
        )
        for row in rows
    ]


def _view(row: Any) -> ApplicationView:
    return ApplicationView(
        id=row["id"],
        pipeline=row["pipeline"],
        candidate=row["candidate"] or ANONYMOUS,
        status=_status(row["status"], row["attempt"], row["outcome"]),
        attempts=row["attempt"] or 0,
        accepted_at=row["accepted_at"],
        score=row["score"],
        reason=row["reason"],
        finished_at=row["finished_at"],
    )


def _status(final: str | None, attempt: int | None, outcome: str | None) -> Status:
    """Tell the status: a result is final; else the latest attempt is under way, over, or none."""
    if final == "scored":
        return "scored"
    if final == "failed":
        return "failed"
    return "pending" if attempt is None or outcome is not None else "scoring"
