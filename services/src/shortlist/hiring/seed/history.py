"""A year of one opening, event by event: who applies when, who answers an offer, who leaves.

The shares and times are made up, and such that each event of the contract comes to pass. All chance
is the argument's: the same seed makes the same year.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from shortlist.domain.hiring.acts import (
    Acknowledge,
    Act,
    Apply,
    ChangeState,
    Score,
    Withdraw,
    open_opening,
)
from shortlist.domain.hiring.audit import SYSTEM, Actor, tail_of
from shortlist.domain.hiring.draft import Change, Opening
from shortlist.domain.hiring.opening import Rules
from shortlist.hiring.seed.kept import KeptOpening

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from shortlist.domain.hiring.audit import Event
    from shortlist.domain.hiring.placement import ApplicantId, OpeningId, Placement, PlacementId

    Draw = Callable[[], PlacementId]

COMPANY = Actor("key")

_DAY = dt.timedelta(days=1)
_OPEN_DAYS = (14, 60)
_ENDS_AFTER_DAYS = (45, 120)
_ENDED_SHARE = 0.7
_WINDOW_SECONDS = 48 * 3600
_MORNING = 7
_HURRIED_SHARE = 0.45
"""Of the applicants, those of the first three days."""

_ANSWER_MEDIAN_HOURS, _ANSWER_SPREAD = 6.0, 1.2
"""Of a lognormal: three quarters answer within 13 hours."""

_ACKNOWLEDGES, _DECLINES = 0.74, 0.10
"""Of the offers; the rest is never answered."""

_LEAVES_PLACE, _LEAVES_LINE = 0.3, 0.12
_SCORED_MEAN, _SCORED_SPREAD = 64.0, 15.0


class Plan(NamedTuple):
    """An opening before anything happens to it."""

    rules: Rules
    posted_at: dt.datetime
    ends_at: dt.datetime | None


class Step(NamedTuple):
    """What changed at one moment, and the opening after it."""

    changes: Sequence[Change]
    opening: Opening


@dataclass(order=True)
class _Due:
    """Something that happens at a time, if it still can."""

    at: dt.datetime
    number: int
    act: Callable[[], Act | None] = field(compare=False)


def plan(chance: random.Random, now: dt.datetime) -> Plan:
    """Draw the rules of an opening that was posted within the last year, and its time."""
    posted_at = _awake(now - _DAY * chance.uniform(2, 360), chance)
    closes_at = (posted_at + _DAY * chance.uniform(*_OPEN_DAYS)).replace(
        minute=0, second=0, microsecond=0
    )
    ends_at = closes_at + _DAY * chance.uniform(*_ENDS_AFTER_DAYS)
    rules = Rules(
        capacity=chance.choice((1, 2, 3, 5, 8, 12, 20, 40)),
        ack_window_seconds=_WINDOW_SECONDS,
        order=chance.choice(("fifo", "fifo", "score")),
        confirm=chance.choice(("promoted", "promoted", "everyone")),
        closes_at=closes_at,
        max_misses=chance.choice((None, 2, 3)),
    )
    return Plan(rules, posted_at, ends_at if chance.random() < _ENDED_SHARE else None)


class History:
    """Makes what happened to one opening until now."""

    def __init__(
        self, opening_id: OpeningId, planned: Plan, draw_id: Draw, chance: random.Random
    ) -> None:
        """``draw_id`` returns the id of a new placement."""
        self._planned = planned
        self._draw_id = draw_id
        self._chance = chance
        self._numbers = count()
        self._due: list[_Due] = []
        first = open_opening(opening_id, planned.rules, actor=COMPANY, clock=planned.posted_at)
        self.id = opening_id
        self.first = first
        """The event that opened it."""
        self.steps: list[Step] = []
        """What has happened since, in order."""
        self._kept = KeptOpening(opening_id, Opening(planned.rules), tail_of(first))

    @property
    def opening(self) -> Opening:
        """Return the opening as it is now."""
        return self._kept.opening

    @property
    def events(self) -> list[Event]:
        """Return all events, in order."""
        return [self.first, *(c.event for step in self.steps for c in step.changes)]

    @property
    def placements(self) -> dict[PlacementId, Placement]:
        """Return the placements as they are now."""
        return self._kept.placements

    def run(self, now: dt.datetime, applicants: Sequence[ApplicantId]) -> None:
        """Let everything happen until now; ``applicants``: who apply, each once."""
        for applicant_id in applicants:
            self._plan_at(self._applies_at(), self._applying(applicant_id))
        closes_at = self._planned.rules.closes_at
        if closes_at is not None:
            self._plan_at(closes_at, _nothing)
        if self._planned.ends_at is not None:
            self._plan_at(self._planned.ends_at, lambda: ChangeState(COMPANY, "end"))
        while self._due and self._due[0].at <= now:
            due = heappop(self._due)
            act = due.act()
            changes = self._kept.decide(due.at, *([] if act is None else [act]))
            for change in changes:
                self._plan_after(change)
            if changes:
                self.steps.append(Step(changes, self.opening))

    def _plan_at(self, at: dt.datetime, act: Callable[[], Act | None]) -> None:
        heappush(self._due, _Due(at, next(self._numbers), act))

    def _applies_at(self) -> dt.datetime:
        """Draw when an applicant applies: many at once, the others until it closes."""
        posted_at = self._planned.posted_at
        closes_at = self._planned.rules.closes_at or posted_at + _DAY * _OPEN_DAYS[0]
        if self._chance.random() < _HURRIED_SHARE:
            after = min(self._chance.expovariate(1.0), 3.0) * _DAY
        else:
            after = (closes_at - posted_at) * self._chance.random()
        return _awake(posted_at + after, self._chance)

    def _applying(self, applicant_id: ApplicantId) -> Callable[[], Act | None]:
        def act() -> Act | None:
            if self._kept.opening.state != "open" or applicant_id in self._kept.live:
                return None
            return Apply(_person(applicant_id), applicant_id, self._draw_id(), live=None)

        return act

    def _plan_after(self, change: Change) -> None:
        """Plan what an applicant does because of an event."""
        placement = change.after
        if placement is None:
            return
        match change.event.type:
            case "APPLIED":
                self._plan_score(placement)
                share = _LEAVES_LINE if placement.status == "WAITLIST" else _LEAVES_PLACE
                self._plan_leaving(placement, share)
            case "ACKNOWLEDGED":
                self._plan_leaving(placement, _LEAVES_PLACE)
            case "PROMOTED":
                self._plan_answer(placement)
            case _:
                pass

    def _plan_score(self, placement: Placement) -> None:
        """Have it scored some seconds later, where the order asks for it."""
        if self._planned.rules.order != "score":
            return
        drawn = self._chance.gauss(_SCORED_MEAN, _SCORED_SPREAD)
        score = round(min(100.0, max(0.0, drawn)), 2)

        def act() -> Act:
            now = self._kept.placements[placement.id]
            return Score(SYSTEM, now, f"seed-{placement.id}", score)

        self._plan_at(placement.applied_at + dt.timedelta(seconds=1.5), act)

    def _plan_leaving(self, placement: Placement, share: float) -> None:
        if self._chance.random() < share:
            after = _DAY * self._chance.expovariate(1 / 20)
            self._plan_at(_awake(placement.since + after, self._chance), self._leaving(placement))

    def _leaving(self, placement: Placement) -> Callable[[], Act | None]:
        def act() -> Act | None:
            now = self._kept.placements[placement.id]
            if now.status == "INACTIVE":
                return None
            return Withdraw(_person(now.applicant_id), now)

        return act

    def _plan_answer(self, placement: Placement) -> None:
        """Have an offer acknowledged, declined, or run out."""
        assert placement.deadline is not None
        promoted_at, deadline = placement.since, placement.deadline
        self._plan_at(deadline + dt.timedelta(milliseconds=self._chance.randint(5, 400)), _nothing)
        answer = self._chance.random()
        hours = self._chance.lognormvariate(math.log(_ANSWER_MEDIAN_HOURS), _ANSWER_SPREAD)
        at = promoted_at + dt.timedelta(hours=hours)
        if answer < _ACKNOWLEDGES:
            self._plan_at(at, self._acknowledging(placement, promoted_at))
        elif answer < _ACKNOWLEDGES + _DECLINES:
            self._plan_at(at, self._leaving(placement))

    def _acknowledging(
        self, placement: Placement, promoted_at: dt.datetime
    ) -> Callable[[], Act | None]:
        def act() -> Act | None:
            now = self._kept.placements[placement.id]
            if now.status != "PENDING_ACKNOWLEDGMENT" or now.promoted_at != promoted_at:
                return None
            return Acknowledge(_person(now.applicant_id), now)

        return act


def _nothing() -> None:
    """Let time alone do what is due."""


def _person(applicant_id: ApplicantId) -> Actor:
    return Actor("person", str(applicant_id))


def _awake(at: dt.datetime, chance: random.Random) -> dt.datetime:
    """Move a time into the hours in which people do such things: 7 to 23 o'clock, UTC."""
    if at.hour >= _MORNING:
        return at
    return at.replace(hour=_MORNING) + dt.timedelta(hours=chance.triangular(0, 14, 3))
