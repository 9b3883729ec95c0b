"""The audit of openings, and what verifies it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage.postgres.queries.hiring.opening_events import event_of
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from asyncpg import Record

    from shortlist.domain.hiring.audit import Event
    from shortlist.storage.postgres import Connection


async def after(
    connection: Connection, opening_id: int, *, after: int, upto: int, limit: int
) -> list[Record]:
    """List an opening's events behind a sequence, at most up to another, oldest first."""
    return await SQL["audit_views.after"].fetch(
        connection, opening_id=opening_id, after=after, upto=upto, limit=limit
    )


async def before(
    connection: Connection, opening_id: int, *, before: int, limit: int
) -> list[Record]:
    """List placements' events of an opening before a sequence, newest first."""
    return await SQL["audit_views.before"].fetch(
        connection, opening_id=opening_id, before=before, limit=limit
    )


async def of_placements(connection: Connection, placement_ids: Sequence[int]) -> list[Record]:
    """List all events of some placements, oldest first."""
    return await SQL["audit_views.of_placements"].fetch(connection, placement_ids=placement_ids)


async def of_applicant_before(
    connection: Connection,
    applicant_id: int,
    *,
    before: tuple[dt.datetime, int] | None,
    limit: int,
) -> list[Record]:
    """List an applicant's events before one (``at``, ``id``), newest first; None: all."""
    before_at, before_id = before or (None, None)
    return await SQL["audit_views.of_applicant_before"].fetch(
        connection,
        applicant_id=applicant_id,
        before_at=before_at,
        before_id=before_id,
        limit=limit,
    )


async def of_applicant_after(
    connection: Connection, applicant_id: int, *, after: int, limit: int
) -> list[Record]:
    """List an applicant's events behind an event's id, in the order of their ids."""
    return await SQL["audit_views.of_applicant_after"].fetch(
        connection, applicant_id=applicant_id, after=after, limit=limit
    )


async def count_of_applicant(connection: Connection, applicant_id: int) -> int:
    """Count the events of an applicant's placements."""
    count = SQL["audit_views.count_of_applicant"].fetchval(connection, applicant_id=applicant_id)
    return int(await count)


async def to_fold(
    connection: Connection, opening_id: int, placement_id: int, *, before: int
) -> list[Event]:
    """List what makes a placement before a sequence: its own events and its opening's."""
    rows = await SQL["audit_views.to_fold"].fetch(
        connection, opening_id=opening_id, placement_id=placement_id, before=before
    )
    return [event_of(row) for row in rows]


async def live(connection: Connection, opening_id: int, *, after: int, limit: int) -> list[Record]:
    """Read how an opening's live placements stand, by the tables, behind an applicant's id."""
    return await SQL["audit_views.live"].fetch(
        connection, opening_id=opening_id, after=after, limit=limit
    )
