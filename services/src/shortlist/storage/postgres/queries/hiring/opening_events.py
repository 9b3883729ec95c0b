"""The audit's end: what an act reads of it under the lock, and what it appends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from shortlist.domain.hiring.audit import Actor, Event, Tail
from shortlist.domain.hiring.placement import OpeningId, PlacementId
from shortlist.storage.postgres.queries.hiring import codec
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from asyncpg import Record

    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.queries.hiring.floors import Floors
    from shortlist.storage.postgres.queries.hiring.openings import OpeningRow

_encode = msgspec.json.Encoder(decimal_format="string").encode


@dataclass(frozen=True, slots=True)
class AuditEnd:
    """The end of an opening's audit as it was read under the lock.

    Attributes:
        tail: the newest event.
        clock: Postgres's, after the lock was taken.
        floors: under which none waits.
        has_ended_offers: whether an offer's deadline is from ``since`` on and before ``before``.
        since: an earlier deadline was settled before; None: any may have been left.
        before: the time of the next event; None: every offer ends.
        placement_ids: new ones, as many as were asked for.
    """

    tail: Tail
    clock: dt.datetime
    floors: Floors
    has_ended_offers: bool
    since: dt.datetime | None
    before: dt.datetime | None
    placement_ids: list[PlacementId]

    @property
    def first_floor(self) -> bytes:
        """The key from which on the line is read."""
        return self.floors[0] if self.floors else b""


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event to be appended, with what the line's fences need of it (decision 0043).

    Attributes:
        event: the event.
        leaves: the key in line that it takes away.
        joins: the key in line that it adds.
        floors: the newest event's of a transaction; the others have none.
    """

    event: Event
    leaves: bytes | None
    joins: bytes | None
    floors: Floors = ()


async def ends(
    connection: Connection, openings: Sequence[OpeningRow], new_ids: Sequence[int]
) -> dict[OpeningId, AuditEnd]:
    """Read the ends of the audits of some locked openings.

    Args:
        connection: whose transaction has them locked, by an earlier statement.
        openings: as locked.
        new_ids: for each of them, how many ids of placements are needed.
    """
    rows = await SQL["opening_events.tails"].fetch(
        connection,
        openings=[row.id for row in openings],
        due_ats=[row.due_at for row in openings],
        all_end=[row.opening.state == "ended" for row in openings],
        new=list(new_ids),
    )
    return {row["id"]: _end(row) for row in rows}


def _end(row: Record) -> AuditEnd:
    return AuditEnd(
        tail=Tail(
            row["id"], row["sequence"], row["at"], row["held"], row["waiting"], row["digest"]
        ),
        clock=row["clock"],
        floors=tuple(row["floors"] or ()),
        has_ended_offers=row["has_ended_offers"],
        since=row["since"],
        before=row["before"],
        placement_ids=row["placement_ids"],
    )


async def append(connection: Connection, rows: Sequence[EventRow]) -> None:
    """Append events in one statement."""
    events = [row.event for row in rows]
    await SQL["opening_events.append"].execute(
        connection,
        opening_ids=[e.opening_id for e in events],
        sequences=[e.sequence for e in events],
        ats=[e.at for e in events],
        types=[codec.EVENT[e.type] for e in events],
        actor_kinds=[codec.ACTOR[e.actor.kind] for e in events],
        actors=[e.actor.reference for e in events],
        placement_ids=[e.placement_id for e in events],
        from_statuses=[e.from_status and codec.STATUS[e.from_status] for e in events],
        to_statuses=[e.to_status and codec.STATUS[e.to_status] for e in events],
        metadata=[_encode(e.metadata).decode() for e in events],
        held=[e.held for e in events],
        waiting=[e.waiting for e in events],
        digests=[e.digest for e in events],
        floors=[_array(row.floors) for row in rows],
        leaves=[row.leaves for row in rows],
        joins=[row.joins for row in rows],
    )


def _array(keys: Floors) -> str | None:
    r"""Write keys as Postgres reads an array of ``bytea``: ``{"\\x00ff","\\x01"}``."""
    return f"{{{','.join(map(_element, keys))}}}" if keys else None


def _element(key: bytes) -> str:
    return rf'"\\x{key.hex()}"'


async def is_there(connection: Connection, event: Event) -> bool:
    """Tell whether an event was committed; the opening is locked."""
    return bool(
        await SQL["opening_events.is_there"].fetchval(
            connection,
            opening_id=event.opening_id,
            sequence=event.sequence,
            digest=event.digest,
        )
    )


async def between(
    connection: Connection, opening_id: OpeningId, first: int, last: int
) -> list[Event]:
    """Read the events of an opening from one sequence to another, both included."""
    rows = await SQL["opening_events.between"].fetch(
        connection, opening_id=opening_id, first=first, last=last
    )
    return [event_of(row) for row in rows]


def event_of(row: Record | dict[str, Any]) -> Event:
    """Read a row that has all columns of an event that are hashed, and its digest."""
    placement_id, before, after = row["placement_id"], row["from_status"], row["to_status"]
    return Event(
        opening_id=OpeningId(row["opening_id"]),
        sequence=row["sequence"],
        at=row["at"],
        type=codec.EVENT_OF[row["type"]],
        actor=Actor(codec.ACTOR_OF[row["actor_kind"]], row["actor"]),
        placement_id=None if placement_id is None else PlacementId(placement_id),
        from_status=None if before is None else codec.STATUS_OF[before],
        to_status=None if after is None else codec.STATUS_OF[after],
        metadata=row["metadata"],
        held=row["held"],
        waiting=row["waiting"],
        digest=row["digest"],
    )
