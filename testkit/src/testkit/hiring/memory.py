"""An opening kept in memory: what storage does with a decision, in the fewest lines.

It gives a decision exactly what it asks for and no more, so that a decision which reads more of the
line than it said fails here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

from shortlist.domain.hiring.acts import (
    Acknowledge,
    Act,
    Answer,
    Apply,
    ChangeRules,
    ChangeState,
    Decision,
    Score,
    Withdraw,
    decide,
    needed_of_line,
    open_opening,
)
from shortlist.domain.hiring.audit import Actor, Event, next_time, tail_of
from shortlist.domain.hiring.company_acts import CompanyAct, Undo
from shortlist.domain.hiring.draft import BATCH, Locked, Opening
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import (
    ApplicantId,
    OpeningId,
    Placement,
    PlacementId,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

START = dt.datetime(2026, 5, 4, 10, 0, tzinfo=dt.UTC)
THE_ID = OpeningId(9)
PERSON = Actor("person", "1")
LINK = Actor("link", "7")
COMPANY = Actor("key", "42")


def at(seconds: float) -> dt.datetime:
    """So many seconds after the start."""
    return START + dt.timedelta(seconds=seconds)


@dataclass
class Memory:
    """One opening: its row, its placements, its audit; and each commit's state, for replays."""

    rules: Rules = field(default_factory=lambda: Rules(capacity=1))
    clock: dt.datetime = START
    id: OpeningId = THE_ID
    opening: Opening = field(init=False)
    placements: dict[PlacementId, Placement] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    commits: list[tuple[dt.datetime, dict[PlacementId, Placement]]] = field(default_factory=list)
    transactions: list[Decision] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=lambda: count(1001))

    def __post_init__(self) -> None:
        self.opening = Opening(self.rules)
        self.events.append(open_opening(self.id, self.rules, actor=COMPANY, clock=self.clock))
        self.commits.append((self.events[-1].at, {}))

    def line(self) -> list[Placement]:
        waiting = [p for p in self.placements.values() if p.status == "WAITLIST"]
        return sorted(waiting, key=lambda p: p.key)

    def held(self) -> list[Placement]:
        return [p for p in self.placements.values() if p.holds_a_place]

    @property
    def now(self) -> dt.datetime:
        return next_time(self.clock, self.events[-1].at)

    def locked(self, acts: tuple[Act, ...]) -> Locked:
        """What storage reads: the offers that ended, and as much of the line as is asked for."""
        offers = sorted(
            (p.deadline, p.id)
            for p in self.placements.values()
            if p.status == "PENDING_ACKNOWLEDGMENT" and p.deadline is not None
        )
        all_end = self.opening.state == "ended"
        ended = [self.placements[i] for until, i in offers if all_end or until < self.now]
        locked = Locked(
            opening=self.opening,
            tail=tail_of(self.events[-1]),
            clock=self.clock,
            ended_offers=tuple(ended[:BATCH]),
        )
        return replace(locked, head=tuple(self.line()[: needed_of_line(locked, acts)]))

    def settle(self) -> None:
        self.decide()

    def decide(self, *acts: Act) -> tuple[Answer, ...]:
        """Lock, decide and commit, as often as the decision asks for it."""
        answered: list[Answer] = []
        for _ in range(10_000):
            acts = tuple(self.refreshed(act) for act in acts)
            decision = decide(self.locked(acts), acts)
            self.commit(decision)
            answered += decision.answers
            if not decision.again:
                return tuple(answered)
            acts = decision.left
        raise AssertionError("it never ends")

    def refreshed(self, act: Act) -> Act:
        """An act with its placements as they are under the lock."""
        match act:
            case Apply():
                live = [
                    p.id
                    for p in self.placements.values()
                    if p.applicant_id == act.applicant_id and p.status != "INACTIVE"
                ]
                return replace(act, live=live[0] if live else None)
            case Acknowledge() | Withdraw() | Score():
                return replace(act, placement=self.placements[act.placement.id])
            case CompanyAct() | Undo():
                return replace(act, targets=tuple(self.placements[t.id] for t in act.targets))
            case ChangeRules() | ChangeState():
                return act

    def commit(self, decision: Decision) -> None:
        self.opening = decision.opening
        self.events += decision.events
        self.placements |= {p.id: p for p in decision.placements}
        self.transactions.append(decision)
        if decision.events:
            self.commits.append((decision.events[-1].at, dict(self.placements)))

    def apply(self, applicant: int) -> Answer:
        return self.decide(self.application(applicant))[0]

    def application(self, applicant: int) -> Apply:
        return Apply(PERSON, ApplicantId(applicant), PlacementId(next(self.ids)), live=None)

    def named(self, applicant: int) -> Placement:
        """The newest placement of an applicant."""
        return [p for p in self.placements.values() if p.applicant_id == applicant][-1]
