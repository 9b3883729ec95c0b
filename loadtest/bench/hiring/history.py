"""An opening with a line and a past, decided act by act in memory.

The domain decides (`shortlist.domain.hiring.acts.decide`), so the audit, the line and the places
are what they would be had applicants come one after the other. ``rows.py`` copies it to Postgres: a
million events in a minute or two.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING
from uuid import UUID

from shortlist.domain.hiring.acts import (
    Acknowledge,
    Apply,
    Score,
    Withdraw,
    decide,
    needed_of_line,
    open_opening,
)
from shortlist.domain.hiring.audit import Actor, tail_of
from shortlist.domain.hiring.draft import Change, Locked, Opening
from shortlist.domain.hiring.placement import ApplicantId, OpeningId, Placement, PlacementId

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from shortlist.domain.hiring.acts import Act
    from shortlist.domain.hiring.opening import Rules

TOGETHER = 50
"""Acts that are decided at the same moment. An opening needs as many places to have a past."""

BEGAN_AGO = dt.timedelta(days=1)
_STEP = dt.timedelta(seconds=1)
"""Between two moments: a million events are some hours, and no offer runs out."""

_ACTOR = Actor("key", "1")


class History:
    """One opening, its placements, and who is next. Each method yields what it changed, in groups.

    Attributes:
        applied: applicants with the ids 1, 2, 3 … have applied.
        waiting: placements in line, the first one first.
        holders: those who have a place, in the order in which they got it.
    """

    def __init__(
        self, opening_id: OpeningId, rules: Rules, *, first_placement: int, now: dt.datetime
    ) -> None:
        """Open it, a day before ``now``."""
        self.opening = Opening(rules)
        self.clock = now - BEGAN_AGO
        self.opened = open_opening(opening_id, rules, actor=_ACTOR, clock=self.clock)
        self.tail = tail_of(self.opened)
        self.placements: dict[PlacementId, Placement] = {}
        self.applied = 0
        self.waiting: deque[PlacementId] = deque()
        self.holders: deque[PlacementId] = deque()
        self._first_placement = first_placement

    def gather(self, waiting: int) -> Iterator[Sequence[Change]]:
        """Let applicants apply until so many wait."""
        while self.tail.waiting < waiting:
            free = max(0, self.opening.rules.capacity - self.tail.held)
            yield self._apply(min(TOGETHER, free or waiting - self.tail.waiting))

    def pass_by(self, events: int) -> Iterator[Sequence[Change]]:
        """Let holders leave, the next acknowledge, and others apply, until there are the events."""
        while self.tail.sequence < events:
            leaving = [self.placements[i] for i in islice(self.holders, TOGETHER)]
            changes = self._act([Withdraw(_ACTOR, placement) for placement in leaving])
            yield changes
            promoted = [c.after for c in changes if c.after and c.event.type == "PROMOTED"]
            yield self._act([Acknowledge(_ACTOR, placement) for placement in promoted])
            yield self._apply(TOGETHER)

    def score(self, chance: random.Random) -> Iterator[Sequence[Change]]:
        """Give each in line a score, and order the line by it."""
        unscored = list(self.waiting)
        for first in range(0, len(unscored), TOGETHER):
            yield self._act([
                Score(
                    _ACTOR,
                    self.placements[placement],
                    str(UUID(int=chance.getrandbits(128))),
                    round(100 * chance.random(), 2),
                )
                for placement in unscored[first : first + TOGETHER]
            ])  # fmt: skip
        self.waiting = deque(sorted(unscored, key=lambda one: self.placements[one].key))

    def _apply(self, count: int) -> Sequence[Change]:
        first = self.applied
        self.applied += count
        return self._act([
            Apply(
                _ACTOR, ApplicantId(number + 1), PlacementId(self._first_placement + number), None
            )
            for number in range(first, first + count)
        ])  # fmt: skip

    def _act(self, acts: Sequence[Act]) -> Sequence[Change]:
        locked = Locked(self.opening, self.tail, self.clock)
        head = islice(self.waiting, needed_of_line(locked, acts))
        decision = decide(replace(locked, head=tuple(self.placements[i] for i in head)), acts)
        for change in decision.changes:
            self._follow(change)
        self.tail = tail_of(decision.changes[-1].event)
        self.clock += _STEP
        return decision.changes

    def _follow(self, change: Change) -> None:
        before, after = change.before, change.after
        assert after is not None
        self.placements[after.id] = after
        _move(self.waiting, after.id, before=_waits(before), after=_waits(after))
        _move(self.holders, after.id, before=_holds(before), after=_holds(after))


def _waits(placement: Placement | None) -> bool:
    return placement is not None and placement.status == "WAITLIST"


def _holds(placement: Placement | None) -> bool:
    return placement is not None and placement.holds_a_place


def _move(line: deque[PlacementId], one: PlacementId, *, before: bool, after: bool) -> None:
    """Join a line at its end, or leave it at its head: nothing else happens here."""
    if after and not before:
        line.append(one)
    if before and not after:
        assert line.popleft() == one
