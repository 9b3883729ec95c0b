"""A draft: what one transaction is about to write about one opening, event by event.

It begins with what storage read under the lock, which is O(1) of the line: the newest event, the
offers that ran out, and as many of the first in line as may be promoted (`head_needed`). All else
follows from there, in memory; storage then writes the events and the placements that changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Literal

from shortlist.domain.errors import ShortlistError
from shortlist.domain.hiring.audit import SYSTEM, Actor, Event, Tail, appended, next_time, tail_of
from shortlist.domain.hiring.deadlines import deadline, iso
from shortlist.domain.hiring.opening import Rules, State, fills
from shortlist.domain.hiring.placement import check_transition, held_by, waiting_by

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from shortlist.domain.hiring.audit import OpeningEvent
    from shortlist.domain.hiring.ordering import LineKey
    from shortlist.domain.hiring.placement import (
        ApplicantId,
        Placement,
        PlacementEvent,
        PlacementId,
    )

BATCH = 200
"""Offers that one transaction lets run out, and promotions that it makes beyond those: with what an
act adds some 600 events, so that no lock is held for more than 100 ms."""


RefusalCode = Literal["CONFLICT", "DUPLICATE_SUBMISSION", "GONE"]
"""Of the contract; 409, 409 and 410."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The act did not happen. ``message`` is for people."""

    code: RefusalCode
    message: str


@dataclass(frozen=True, slots=True)
class Opening:
    """An opening as its locked row has it."""

    rules: Rules
    state: State = "open"
    version: int = 1


@dataclass(frozen=True, slots=True)
class Locked:
    """What storage reads after it has locked an opening.

    Attributes:
        opening: its row.
        tail: its newest event.
        clock: Postgres's, read after the lock. Aware.
        ended_offers: PENDING_ACKNOWLEDGMENT whose deadline is before the event's time
        (`next_time`);
            once the opening has ended, all of them. Earliest deadline first, at most `BATCH`.
        head: the first `head_needed` in line, or all when there are fewer.
    """

    opening: Opening
    tail: Tail
    clock: dt.datetime
    ended_offers: tuple[Placement, ...] = ()
    head: tuple[Placement, ...] = ()


def head_needed(locked: Locked, reach: int) -> int:
    """Return how many of the first in line a draft needs to know; ``head`` may be empty yet.

    Args:
        locked: what else storage has read.
        reach: of all the acts together: the places that they may open, and who may leave the line.
    """
    opening, tail = locked.opening, locked.tail
    is_filling = fills(opening.state, opening.rules, next_time(locked.clock, tail.at))
    free = max(0, opening.rules.capacity - tail.held) if is_filling else 0
    return min(tail.waiting, min(free, BATCH) + len(locked.ended_offers) + reach)


@dataclass(frozen=True, slots=True)
class Change:
    """One event, and the placement that it is about as it was before and is after.

    Both are None for an event of the opening itself; ``before`` is None for an application.
    """

    event: Event
    before: Placement | None = None
    after: Placement | None = None


class HeadTooShortError(ShortlistError):
    """Storage read fewer of the first in line than the draft came to need; nothing was decided."""


class Draft:
    """Events and changes of one transaction on one opening.

    Attributes:
        now: the time of all its events; see `next_time`.
        tail: the newest event, of this draft or before it.
        opening: as it will be.
        changes: events with what they change, in order.
        placements: those that changed, as they will be.
        missed: placements whose offer ran out in this draft.
    """

    def __init__(self, locked: Locked) -> None:
        """Begin with what storage has read."""
        self.now = next_time(locked.clock, locked.tail.at)
        self.tail = locked.tail
        self.opening = locked.opening
        self.changes: list[Change] = []
        self.placements: dict[PlacementId, Placement] = {}
        self.missed: set[PlacementId] = set()
        self._waiting = {placement.id: placement for placement in locked.head}
        self._line = [(placement.key, placement.id) for placement in locked.head]
        heapify(self._line)
        self._is_whole = len(locked.head) >= locked.tail.waiting
        self._last_known = max(self._line, default=(None, None))[0]
        self._deadline: dt.datetime | None = None

    @property
    def free(self) -> int:
        """Places that can be given now: none before ``fillFrom``, below 0 never."""
        opening = self.opening
        if not fills(opening.state, opening.rules, self.now):
            return 0
        return max(0, opening.rules.capacity - self.tail.held)

    @property
    def offer_deadline(self) -> dt.datetime:
        """Until when an offer that is made now stands."""
        if self._deadline is None:
            rules = self.opening.rules
            self._deadline = deadline(self.now, rules.ack_window_seconds, rules.answer_hours)
        return self._deadline

    def current(self, placement: Placement) -> Placement:
        """Return a placement as this draft has left it so far."""
        return self.placements.get(placement.id, placement)

    def live(self, applicant_id: ApplicantId) -> Placement | None:
        """Return an applicant's placement that this draft has made or changed and that is live."""
        for placement in self.placements.values():
            if placement.applicant_id == applicant_id and placement.status != "INACTIVE":
                return placement
        return None

    def is_live(self, placement_id: PlacementId | None) -> bool:
        """Tell whether a placement that was live under the lock still is."""
        if placement_id is None:
            return False
        changed = self.placements.get(placement_id)
        return changed is None or changed.status != "INACTIVE"

    @property
    def next_sequence(self) -> int:
        """The sequence of the event that is recorded next."""
        return self.tail.sequence + 1

    def record(
        self,
        kind: PlacementEvent,
        before: Placement | None,
        after: Placement,
        *,
        actor: Actor,
        metadata: Mapping[str, Any] | None = None,
    ) -> Placement:
        """Append a placement's event, and return the placement with its new standing.

        Raises:
            IllegalTransitionError: the event does not lead from ``before`` to the new status.
        """
        was = None if before is None else before.status
        check_transition(kind, was, after.status)
        event = appended(
            self.tail,
            at=self.now,
            kind=kind,
            actor=actor,
            metadata={"jobId": self.tail.opening_id, **(metadata or {})},
            placement_id=after.id,
            statuses=(was, after.status),
            change=(
                held_by(after.status) - held_by(was),
                waiting_by(after.status) - waiting_by(was),
            ),
        )
        if before is not None:  # a new placement says so already
            after = self._marked(event, kind, before, after)
        self._append(Change(event, before, after))
        self.placements[after.id] = after
        if after.status == "WAITLIST":
            self._waiting[after.id] = after
            heappush(self._line, (after.key, after.id))
        else:
            self._waiting.pop(after.id, None)
        return after

    def _marked(
        self, event: Event, kind: PlacementEvent, before: Placement, after: Placement
    ) -> Placement:
        """Return a placement that knows the event which changed its standing, and since when."""
        since = after.since if before.status == after.status else self.now
        if kind == "SCORED":
            return replace(after, since=since)
        return replace(after, since=since, last_event=kind, last_sequence=event.sequence)

    def record_opening(
        self, kind: OpeningEvent, opening: Opening, *, actor: Actor, metadata: Mapping[str, Any]
    ) -> None:
        """Append an event of the opening itself, which is ``opening`` from now on."""
        self.opening = replace(opening, version=self.opening.version + 1)
        self._deadline = None
        event = appended(
            self.tail,
            at=self.now,
            kind=kind,
            actor=actor,
            metadata={"jobId": self.tail.opening_id, **metadata},
        )
        self._append(Change(event))

    def _append(self, change: Change) -> None:
        self.changes.append(change)
        self.tail = tail_of(change.event)

    def first_in_line(self) -> Placement | None:
        """Return who is next; None when no applicant waits.

        Raises:
            HeadTooShortError: storage gave fewer of the first in line than were needed.
        """
        if not self.tail.waiting:
            return None
        while self._line and self._is_stale(*self._line[0]):
            heappop(self._line)
        if not self._line or self._may_be_behind_others(self._line[0][0]):
            raise HeadTooShortError("the head of the line was read too short")
        return self._waiting[self._line[0][1]]

    def _is_stale(self, key: LineKey, placement_id: PlacementId) -> bool:
        """Tell whether a placement has left the place in line that this draft knew."""
        waiting = self._waiting.get(placement_id)
        return waiting is None or waiting.key != key

    def _may_be_behind_others(self, key: LineKey) -> bool:
        """Tell whether applicants that storage did not read may stand in front of a key."""
        return not self._is_whole and (self._last_known is None or key > self._last_known)

    def promote(
        self, placement: Placement, *, actor: Actor = SYSTEM, **metadata: object
    ) -> Placement:
        """Offer a waiting placement a place."""
        until = self.offer_deadline
        return self.record(
            "PROMOTED",
            placement,
            replace(
                placement, status="PENDING_ACKNOWLEDGMENT", promoted_at=self.now, deadline=until
            ),
            actor=actor,
            metadata={"acknowledgeDeadline": iso(until), **metadata},
        )

    def fill(self, *, most: int | None = None) -> bool:
        """Offer free places to the first in line; whether that is all that can be offered now.

        Args:
            most: offers to make at most; None: as many as there are places.
        """
        made = 0
        while self.free and (first := self.first_in_line()):
            if made == most:
                return False
            self.promote(first)
            made += 1
        return True
