"""Whether an audit is whole: its chain, its fold, and what is derived from it.

The events are read a thousand at a time, each part in a read of its own: they never change. What is
kept in between are the live placements only, so memory follows the length of the line and not that
of the past; what became inactive and comes back is folded again from its own events. Folding and
comparing are done in a thread, so that the process gives other answers meanwhile.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from shortlist.domain.hiring.audit import BrokenAuditError, start_of_chain, verify
from shortlist.domain.hiring.placement import OpeningId, Placement, PlacementId, Status
from shortlist.domain.hiring.replay import Standing, apply, placement_after
from shortlist.hiring.reading.openings import read_row
from shortlist.hiring.reading.packed import PackedPlacements
from shortlist.hiring.views import Verification
from shortlist.storage.postgres.queries.hiring import codec
from shortlist.storage.postgres.queries.hiring.opening_events import event_of
from shortlist.storage.postgres.queries.hiring.openings import opening_row
from shortlist.storage.postgres.queries.hiring.reading import audit, heads
from shortlist.storage.postgres.queries.hiring.reading.moments import Holding

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from shortlist.domain.hiring.audit import Event
    from shortlist.storage.postgres import Connection

    Row = Mapping[str, Any]

_PART: Final = 1_000
"""Events, or placements, that are read at once."""

T = TypeVar("T")


class Look(Protocol):
    """Does some reading; all of it sees one moment."""

    async def __call__(self, work: Callable[[Connection], Awaitable[T]], /) -> T:
        """Return what ``work`` returns."""


_Live = dict[int, tuple[Status, bytes]]
"""Statuses and keys of live placements, by their ids."""


async def verify_opening(look: Look, opening_id: int) -> Verification:
    """Verify an opening's audit: chain, totals, fold; then heads and tables against the fold.

    Raises:
        NotFoundError: there is no such opening.
    """
    await look(lambda connection: read_row(connection, opening_id))
    walk = _Walk(OpeningId(opening_id))
    try:
        while not await _is_at_the_end(look, walk):
            pass
    except BrokenAuditError as error:
        return walk.told(str(error))
    return walk.told(None)


async def _is_at_the_end(look: Look, walk: _Walk) -> bool:
    """Take the next part; if it was the last, compare the tables, read at the same moment."""

    async def read(
        connection: Connection,
    ) -> tuple[Sequence[Row], Sequence[Row], tuple[Row, _Live] | None]:
        opening = await read_row(connection, walk.opening_id)
        upto = opening["sequence"]
        rows = await audit.after(
            connection, walk.opening_id, after=walk.tail.sequence, upto=upto, limit=_PART
        )
        last = rows[-1]["sequence"] if rows else upto
        new_heads = await heads.between(
            connection, walk.opening_id, after=walk.tail.sequence, upto=last
        )
        is_last = last == upto
        tables = (opening, await _live(connection, walk.opening_id)) if is_last else None
        return rows, new_heads, tables

    rows, new_heads, tables = await look(read)
    events = [event_of(row) for row in rows]
    for placement_id in _that_come_back(events, walk):
        await look(partial(_bring_back, walk, placement_id))
    await asyncio.to_thread(walk.take, events, {row["sequence"]: row for row in new_heads})
    if tables is None:
        return False
    await asyncio.to_thread(walk.compare, *tables)
    return True


async def _live(connection: Connection, opening_id: int) -> _Live:
    """Read how the live placements stand, part by part."""
    found: _Live = {}
    after = 0
    while True:
        part = await audit.live(connection, opening_id, after=after, limit=_PART)
        found |= {row["id"]: (codec.STATUS_OF[row["status"]], row["key"]) for row in part}
        if len(part) < _PART:
            return found
        after = part[-1]["applicant_id"]


def _that_come_back(events: Sequence[Event], walk: _Walk) -> list[PlacementId]:
    """Return the placements of some events that are inactive and were forgotten."""
    known = walk.standing.placements
    seen: set[PlacementId] = set()
    found = []
    for event in events:
        placement_id = event.placement_id
        if placement_id is not None and placement_id not in known and placement_id not in seen:
            seen.add(placement_id)
            if event.from_status is not None:
                found.append(placement_id)
    return found


async def _bring_back(walk: _Walk, placement_id: PlacementId, connection: Connection) -> None:
    """Fold a forgotten placement from its own events."""
    events = await audit.to_fold(
        connection, walk.opening_id, placement_id, before=walk.tail.sequence + 1
    )
    placement = placement_after(walk.opening_id, placement_id, events)
    if placement is not None:
        walk.standing.placements[placement.id] = placement


class _Walk:
    """The fold so far: who is live, the line as keys, the holders in their order."""

    def __init__(self, opening_id: OpeningId) -> None:
        self.opening_id = opening_id
        self.tail = start_of_chain(opening_id)
        self.standing = Standing(opening_id, placements=PackedPlacements())
        self._line: list[bytes] = []
        self._holders: list[Holding] = []

    def told(self, problem: str | None) -> Verification:
        """Return what was found so far."""
        return Verification(
            events=self.tail.sequence,
            head=self.tail.digest.hex(),
            intact=problem is None,
            problem=problem,
        )

    def take(self, events: Sequence[Event], new_heads: Mapping[int, Row]) -> None:
        """Check the next events, and each head where it stands."""
        for event in events:
            tail = verify(self.tail, [event])
            before = self._placement(event.placement_id)
            apply(self.standing, event)
            self.tail = tail
            self._move(before, self._placement(event.placement_id))
            if event.sequence in new_heads:
                self._compare_head(new_heads[event.sequence])
        self._forget(events)

    def _placement(self, placement_id: PlacementId | None) -> Placement | None:
        return None if placement_id is None else self.standing.placements.get(placement_id)

    def _forget(self, events: Sequence[Event]) -> None:
        for event in events:
            placement = self._placement(event.placement_id)
            if placement is not None and placement.status == "INACTIVE":
                del self.standing.placements[placement.id]

    def _move(self, before: Placement | None, after: Placement | None) -> None:
        for placement in (before, after):
            if placement is None:
                continue
            if placement.status == "WAITLIST":
                _put(self._line, codec.encode_key(placement.key), is_there=placement is before)
            elif placement.holds_a_place:
                _put(self._holders, _holding(placement), is_there=placement is before)

    def _compare_head(self, row: Row) -> None:
        line = self._line[: heads.LENGTH]
        holders = self._holders[: heads.LENGTH]
        told = heads.head_of(row)
        is_right = (
            row["digest"] == self.tail.digest
            and told.waiting() == [(key, codec.decode_key(key).placement_id) for key in line]
            and told.holding() == holders
        )
        if not is_right:
            raise BrokenAuditError(self.opening_id, row["sequence"], "has another head")

    def compare(self, opening: Row, live: _Live) -> None:
        """Compare the tables with the fold."""
        placements = self.standing.placements.values()
        folded: _Live = {p.id: (p.status, codec.encode_key(p.key)) for p in placements}
        if folded != live:
            wrong = min(i for i in folded.keys() | live if folded.get(i) != live.get(i))
            self._other_tables(f"application {wrong} stands elsewhere in the tables")
        if self.standing.opening != opening_row(opening).opening:
            self._other_tables("the opening has other rules in the tables")

    def _other_tables(self, problem: str) -> None:
        raise BrokenAuditError(self.opening_id, self.tail.sequence, problem)


def _holding(placement: Placement) -> Holding:
    return Holding(
        placement.promoted_at or placement.since,
        placement.applied_sequence,
        placement.id,
        codec.STATUS[placement.status],
    )


def _put(ordered: list[Any], one: Any, *, is_there: bool) -> None:
    """Take one out of an ordered list, or put it in."""
    if is_there:
        del ordered[bisect_left(ordered, one)]
    else:
        insort(ordered, one)
