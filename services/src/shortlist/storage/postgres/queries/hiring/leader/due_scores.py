"""Finds for the leader the scores that have arrived, and by which no line was ordered yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.hiring.placement import OpeningId, PlacementId
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from shortlist.storage.postgres import Connection


@dataclass(frozen=True, slots=True)
class DueScores:
    """Scores that are due in an opening: whose, and for how many seconds the oldest has been."""

    opening_id: OpeningId
    applications: tuple[UUID, ...]
    late_seconds: float


@dataclass(frozen=True, slots=True)
class LockedScore:
    """A score as it is. ``score``: None when scoring failed."""

    application_id: UUID
    placement_id: PlacementId
    opening_id: OpeningId
    score: float | None


async def clock(connection: Connection) -> dt.datetime:
    """Return Postgres's time."""
    now: dt.datetime = await SQL["server.clock"].fetchval(connection)
    return now


async def due(
    connection: Connection, after: dt.datetime, excluded: Collection[OpeningId], limit: int
) -> list[DueScores]:
    """List openings with scores that are due, the longest due first; ``limit``: of scores."""
    rows = await SQL["due_scores.due"].fetch(
        connection, after=after, excluded=list(excluded), limit=limit
    )
    return [
        DueScores(OpeningId(r["opening_id"]), tuple(r["applications"]), r["late_seconds"])
        for r in rows
    ]


async def lock(connection: Connection, ids: Sequence[UUID]) -> list[LockedScore]:
    """Lock those that are due and that no worker writes now, in the order of their arrival."""
    rows = await SQL["due_scores.lock"].fetch(connection, ids=ids)
    return [
        LockedScore(
            r["application_id"],
            PlacementId(r["placement_id"]),
            OpeningId(r["opening_id"]),
            r["score"],
        )
        for r in rows
    ]


async def done(connection: Connection, ids: Collection[UUID]) -> None:
    """Mark scores as done."""
    await SQL["due_scores.done"].execute(connection, ids=list(ids))
