"""An opening as it was after an event: spans that ended since, and rows that stand since then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from asyncpg import Record

    from shortlist.storage.postgres import Connection


@dataclass(frozen=True, slots=True)
class Moment:
    """The last event that had happened.

    Attributes:
        sequence: 0 before the opening existed.
        at: None before the opening existed.
        held: ACTIVE and PENDING_ACKNOWLEDGMENT.
        waiting: WAITLIST.
        floor: no waiting placement had a key before it.
    """

    opening_id: int
    sequence: int = 0
    at: dt.datetime | None = None
    held: int = 0
    waiting: int = 0
    floor: bytes = b""


@dataclass(frozen=True, slots=True, order=True)
class Holding:
    """A held place. They sort in the order in which the places were got."""

    since: dt.datetime
    applied: int
    placement_id: int
    status: bytes


async def at_time(connection: Connection, opening_id: int, as_of: dt.datetime) -> Moment:
    """Find the moment of a time: events at that time have happened."""
    row = await SQL["moments.at_time"].fetchrow(connection, opening_id=opening_id, as_of=as_of)
    return _moment(opening_id, row)


async def at_sequence(connection: Connection, opening_id: int, sequence: int) -> Moment:
    """Find the moment after an event; beyond the newest one: after that."""
    row = await SQL["moments.at_sequence"].fetchrow(
        connection, opening_id=opening_id, sequence=sequence
    )
    return _moment(opening_id, row)


def _moment(opening_id: int, row: Record | None) -> Moment:
    if row is None:
        return Moment(opening_id)
    return Moment(
        opening_id, row["sequence"], row["at"], row["held"], row["waiting"], row["floor"] or b""
    )


async def rules(connection: Connection, moment: Moment) -> tuple[int | None, int]:
    """Return the capacity, None before the opening existed, and how many events are its own."""
    row = await SQL["moments.rules"].fetchrow(
        connection, opening_id=moment.opening_id, sequence=moment.sequence
    )
    assert row is not None
    return row["capacity"], row["own_events"]


async def waiting(
    connection: Connection, moment: Moment, *, after: bytes, limit: int
) -> list[tuple[bytes, int]]:
    """List keys and placements that waited behind a key, in the line's order."""
    rows = await SQL["moments.waiting"].fetch(
        connection,
        opening_id=moment.opening_id,
        sequence=moment.sequence,
        after=after,
        from_key=moment.floor,
        limit=limit,
    )
    return [(row["key"], row["id"]) for row in rows]


async def holders(
    connection: Connection,
    moment: Moment,
    *,
    since: dt.datetime | None,
    applied: int,
    limit: int,
) -> list[Holding]:
    """List who held places, in the order of getting them, behind one; ``since`` None: all."""
    rows = await SQL["moments.holders"].fetch(
        connection,
        opening_id=moment.opening_id,
        sequence=moment.sequence,
        since=since,
        applied=applied,
        limit=limit,
    )
    return [Holding(row["since"], row["applied"], row["id"], row["status"]) for row in rows]


async def changes(
    connection: Connection, opening_id: int, *, after: int, upto: int
) -> list[Record]:
    """List what each placement's event changed, behind an event and up to another."""
    return await SQL["moments.changes"].fetch(
        connection, opening_id=opening_id, after=after, upto=upto
    )


async def people(connection: Connection, placement_ids: Sequence[int]) -> dict[int, Record]:
    """Read ``applicant_id`` and ``name`` of some placements, by their ids."""
    rows = await SQL["moments.people"].fetch(connection, placement_ids=placement_ids)
    return {row["id"]: row for row in rows}
