"""An opening as it was at a time or after an event: counts and the first of each list at once.

A moment of the past never changes, so the parts of an answer may be read one after the other. The
first page is a head and a short fold (`queries.hiring.reading.heads`); what lies behind is read
from spans, in the same order, at the same moment.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shortlist.hiring.reading.openings import read_row
from shortlist.hiring.reading.pages import (
    ID_MAX,
    WHOLE,
    HolderPlace,
    InReplay,
    LinePlace,
    Page,
    cut,
    decode,
    encode,
)
from shortlist.hiring.reading.rows import event_of
from shortlist.hiring.views import ERASED, ReplayEntry, ReplayView
from shortlist.storage.postgres.queries.hiring import codec
from shortlist.storage.postgres.queries.hiring.reading import audit, heads, moments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.queries.hiring.reading.heads import Head
    from shortlist.storage.postgres.queries.hiring.reading.moments import Holding, Moment

    Row = Mapping[str, Any]

_MILLISECOND = 1_000


@dataclass(frozen=True, slots=True)
class When:
    """What was asked for: a time, an event, or, with neither, now."""

    as_of: dt.datetime | None = None
    sequence: int | None = None


async def read_replay(
    connection: Connection, opening_id: int, when: When, limit: int | None, after: str | None
) -> Page[ReplayView]:
    """Read how an opening stood, with the first of each list, or with what follows a cursor."""
    opening = await read_row(connection, opening_id)
    if after:
        begin = decode(after, InReplay)
        moment = await moments.at_sequence(connection, opening_id, begin.sequence)
        head = None
    else:
        moment, as_of = await _moment(connection, opening, when)
        begin = InReplay(as_of, moment.sequence, moment.sequence + 1)
        head = await heads.at(connection, moment)
    reader = _Reader(connection, moment, limit or WHOLE, head)
    return await _answer(reader, begin)


async def _moment(connection: Connection, opening: Row, when: When) -> tuple[Moment, dt.datetime]:
    """Find the moment that was asked for, and the time that is answered for it."""
    opening_id = opening["id"]
    if when.sequence is not None:
        sequence = max(0, min(when.sequence, ID_MAX))
        moment = await moments.at_sequence(connection, opening_id, sequence)
        return moment, moment.at or opening["created_at"]
    if when.as_of is not None:
        as_of = understood(when.as_of)
        return await moments.at_time(connection, opening_id, as_of), as_of
    moment = await moments.at_sequence(connection, opening_id, opening["sequence"])
    now = understood(opening["now"])  # a clock that was set back is behind the newest event
    return moment, max(now, moment.at or now)


def understood(time: dt.datetime) -> dt.datetime:
    """Return a time in UTC, in full milliseconds: what is in the same millisecond has happened."""
    try:
        utc = time.astimezone(dt.UTC)
    except OverflowError:  # within a day of the first year's start or the last one's end
        utc = time.replace(tzinfo=dt.UTC)
    return utc.replace(microsecond=utc.microsecond // _MILLISECOND * _MILLISECOND)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the lists of one moment, ``size`` at once; ``head``: the first of them, if known."""

    connection: Connection
    moment: Moment
    size: int
    head: Head | None

    async def holders(self, begin: HolderPlace | None) -> tuple[list[Holding], HolderPlace | None]:
        """Read the next who held places, and where the list goes on."""
        if begin is None or not self.moment.held:
            return [], None
        found: list[Holding] = []
        if self.head is not None:
            found = self.head.holding()
            if self.head.holders_end is None:
                return self._holders(found)
            begin = HolderPlace(*self.head.holders_end)
        if len(found) <= self.size:
            found += await moments.holders(
                self.connection,
                self.moment,
                since=begin.since,
                applied=begin.applied,
                limit=self.size + 1 - len(found),
            )
        return self._holders(found)

    def _holders(self, found: list[Holding]) -> tuple[list[Holding], HolderPlace | None]:
        rows, more = cut(found, self.size)
        return rows, HolderPlace(rows[-1].since, rows[-1].applied) if more else None

    async def line(self, begin: LinePlace | None) -> tuple[list[int], LinePlace | None]:
        """Read the next who waited, and where the list goes on."""
        if begin is None or not self.moment.waiting:
            return [], None
        found: list[tuple[bytes, int]] = []
        after: bytes | None = begin.key
        if self.head is not None:
            found, after = self.head.waiting(), self.head.line_end
        if after is not None and len(found) <= self.size:
            found += await moments.waiting(
                self.connection, self.moment, after=after, limit=self.size + 1 - len(found)
            )
        rows, more = cut(found, self.size)
        last = LinePlace(rows[-1][0], begin.position + len(rows)) if more else None
        return [placement_id for _, placement_id in rows], last

    async def events(self, before: int | None) -> tuple[list[Row], int | None]:
        """Read the placements' events before one, newest first, and where the list goes on."""
        if before is None or not self.moment.sequence:
            return [], None
        found = await audit.before(
            self.connection, self.moment.opening_id, before=before, limit=self.size + 1
        )
        rows, more = cut(found, self.size)
        return rows, rows[-1]["sequence"] if more else None


async def _answer(reader: _Reader, begin: InReplay) -> Page[ReplayView]:
    moment = reader.moment
    holders, next_holder = await reader.holders(begin.holders)
    waiting, next_waiting = await reader.line(begin.line)
    events, next_event = await reader.events(begin.events)
    capacity, own_events = await moments.rules(reader.connection, moment)
    ids = [*(one.placement_id for one in holders), *waiting]
    people = await moments.people(reader.connection, ids)
    first = begin.line.position + 1 if begin.line else 1
    view = ReplayView(
        job_id=moment.opening_id,
        as_of=begin.as_of,
        active_applicants=[_entry(people[one.placement_id], one.status, None) for one in holders],
        waitlist_applicants=[
            _entry(people[placement_id], codec.STATUS["WAITLIST"], position)
            for position, placement_id in enumerate(waiting, start=first)
        ],
        events=[event_of(row) for row in reversed(events)],
        capacity=capacity,
        active_count=moment.held,
        waitlist_count=moment.waiting,
        event_count=moment.sequence - own_events,
        sequence=moment.sequence,
    )
    following = InReplay(begin.as_of, moment.sequence, next_event, next_holder, next_waiting)
    is_whole = next_event is None and next_holder is None and next_waiting is None
    return Page(view, None if is_whole else encode(following))


def _entry(person: Row, status: bytes, position: int | None) -> ReplayEntry:
    return ReplayEntry(
        application_id=person["id"],
        applicant_id=person["applicant_id"],
        applicant_name=person["name"] or ERASED,
        status=codec.STATUS_OF[status],
        queue_position=position,
    )
