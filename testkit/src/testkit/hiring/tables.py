"""An opening's rows as Postgres has them, all of one snapshot, as the domain's objects.

Read by statements of its own, so that what the product's queries get wrong is seen.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from shortlist.domain.hiring.audit import Actor, Event
from shortlist.domain.hiring.draft import Opening
from shortlist.domain.hiring.opening import Rules, rules_from_json
from shortlist.domain.hiring.placement import ApplicantId, OpeningId, Placement, PlacementId
from shortlist.storage.postgres.queries.hiring.codec import (
    ACTOR_OF,
    EVENT_OF,
    STATUS_OF,
    decode_key,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Mapping, Sequence

    from shortlist.domain.hiring.ordering import LineKey
    from shortlist.domain.hiring.placement import PlacementEvent, Status
    from shortlist.storage.postgres import Connection


@dataclass(frozen=True)
class Links:
    """What storage adds to an event: where the line changed by it, and where the line begins."""

    leaves: LineKey | None
    joins: LineKey | None
    floors: tuple[LineKey, ...] | None


@dataclass(frozen=True)
class Span:
    """A standing, from an event on; until another's, or until now (None)."""

    placement_id: PlacementId
    status: Status
    key: LineKey
    first: int
    end: int | None


@dataclass(frozen=True)
class Fences:
    """The line at an event, cut into buckets: how many stood in front of each key."""

    sequence: int
    keys: tuple[bytes, ...]
    below: tuple[int, ...]
    waiting: int


@dataclass(frozen=True)
class OpeningTables:
    """One opening: its row, its placements, its audit, and what is derived from them."""

    id: OpeningId
    opening: Opening
    due_at: dt.datetime | None
    clock: dt.datetime
    placements: Mapping[PlacementId, Placement]
    events: Sequence[Event]
    links: Sequence[Links]
    spans: Sequence[Span]
    fences: Sequence[Fences]

    def line(self) -> list[Placement]:
        """Return who waits, in the line's order."""
        waiting = [p for p in self.placements.values() if p.status == "WAITLIST"]
        return sorted(waiting, key=lambda p: p.key)

    def held(self) -> list[Placement]:
        """Return who holds a place."""
        return [p for p in self.placements.values() if p.holds_a_place]


_TABLES = {
    "openings": "SELECT * FROM openings WHERE id = ANY($1) ORDER BY id",
    "placements": "SELECT * FROM placements WHERE opening_id = ANY($1) ORDER BY id",
    "events": "SELECT * FROM opening_events WHERE opening_id = ANY($1) ORDER BY sequence",
    "spans": "SELECT * FROM placement_spans WHERE opening_id = ANY($1)",
    "fences": "SELECT * FROM line_fences WHERE opening_id = ANY($1) ORDER BY sequence",
}


async def openings(connection: Connection) -> list[OpeningId]:
    """Return the ids of all openings."""
    return [OpeningId(row["id"]) for row in await connection.fetch("SELECT id FROM openings")]


async def read(connection: Connection, ids: Collection[OpeningId]) -> list[OpeningTables]:
    """Read openings in the transaction that the caller opened; its snapshot is the moment."""
    clock = await connection.fetchval("SELECT clock_timestamp()")
    found: dict[str, dict[int, list[Any]]] = {}
    for table, sql in _TABLES.items():
        found[table] = defaultdict(list)
        for row in await connection.fetch(sql, list(ids)):
            found[table][row["id" if table == "openings" else "opening_id"]].append(row)
    return [
        await asyncio.to_thread(_tables, OpeningId(id_), clock, found)
        for id_ in sorted(found["openings"])
    ]


def _tables(
    id_: OpeningId, clock: dt.datetime, found: Mapping[str, Mapping[int, Sequence[Any]]]
) -> OpeningTables:
    (row,) = found["openings"][id_]
    placements = found["placements"].get(id_, ())
    events = found["events"].get(id_, ())
    return OpeningTables(
        id=id_,
        opening=_opening(row),
        due_at=row["due_at"],
        clock=clock,
        placements={PlacementId(p["id"]): _placement(p) for p in placements},
        events=[_event(e) for e in events],
        links=[_links(e) for e in events],
        spans=[
            *(_span(s, s["from_sequence"], s["to_sequence"]) for s in found["spans"].get(id_, ())),
            *(_span(p, p["stands_from"], None) for p in placements),
        ],
        fences=[
            Fences(f["sequence"], tuple(f["keys"]), tuple(f["below"]), f["waiting"])
            for f in found["fences"].get(id_, ())
        ],
    )


def _opening(row: Any) -> Opening:
    hours = rules_from_json(_NO_RULES | {"answerHours": row["answer_hours"]}).answer_hours
    rules = Rules(
        capacity=row["capacity"],
        ack_window_seconds=row["ack_window_seconds"],
        order=row["line_order"],
        confirm=row["confirm"],
        fill_from=row["fill_from"],
        closes_at=row["closes_at"],
        max_misses=row["max_misses"],
        answer_hours=hours,
    )
    return Opening(rules, row["state"], row["version"])


_NO_RULES: dict[str, Any] = {
    "capacity": 1,
    "ackWindowSeconds": 1,
    "order": "fifo",
    "confirm": "promoted",
    "fillFrom": None,
    "closesAt": None,
    "maxMisses": None,
}


def _placement(row: Any) -> Placement:
    return Placement(
        id=PlacementId(row["id"]),
        applicant_id=ApplicantId(row["applicant_id"]),
        status=STATUS_OF[row["status"]],
        key=decode_key(row["key"]),
        applied_sequence=row["applied_sequence"],
        applied_at=row["applied_at"],
        since=row["since"],
        last_event=cast("PlacementEvent", EVENT_OF[row["last_event"]]),
        last_sequence=row["last_sequence"],
        misses=row["misses"],
        score=row["score"],
        moved=row["moved"],
        promoted_at=row["promoted_at"],
        deadline=row["deadline"],
    )


def _event(row: Any) -> Event:
    return Event(
        opening_id=OpeningId(row["opening_id"]),
        sequence=row["sequence"],
        at=row["at"],
        type=EVENT_OF[row["type"]],
        actor=Actor(ACTOR_OF[row["actor_kind"]], row["actor"]),
        placement_id=row["placement_id"],
        from_status=_status(row["from_status"]),
        to_status=_status(row["to_status"]),
        metadata=row["metadata"],
        held=row["held"],
        waiting=row["waiting"],
        digest=row["digest"],
    )


def _status(code: bytes | None) -> Status | None:
    return None if code is None else STATUS_OF[code]


def _links(row: Any) -> Links:
    floors = row["floors"]
    return Links(
        leaves=row["leaves"] and decode_key(row["leaves"]),
        joins=row["joins"] and decode_key(row["joins"]),
        floors=None if floors is None else tuple(map(decode_key, floors)),
    )


def _span(row: Any, first: int, end: int | None) -> Span:
    id_ = PlacementId(row["id" if end is None else "placement_id"])
    return Span(id_, STATUS_OF[row["status"]], decode_key(row["key"]), first, end)
