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
from shortlist.domain.hiring.draft import BATCH, Locked, Opening, Refused
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import (
    ApplicantId,
    OpeningId,
    Placement,
    PlacementId,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shortlist.domain.hiring.company_acts import Action
    from shortlist.domain.hiring.ordering import LineKey
    from testkit.hiring.machine import ByHand

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

    def apply_together(self, applicants: Sequence[ApplicantId]) -> tuple[Answer, ...]:
        return self.decide(*map(self.application, applicants))

    def do(self, *acts: Act) -> tuple[Answer, ...]:
        return self.decide(*acts)

    def act_by_hand(
        self, action: Action, targets: Sequence[Placement], position: int | None = None
    ) -> tuple[str, dict[PlacementId, str]]:
        """What the company does; the action's name, and what became of each target."""
        name = f"a{len(self.events)}"
        act = CompanyAct(COMPANY, name, action, tuple(targets), "digest")
        if position is not None:
            previous, following = self.neighbours(position, {t.id for t in targets})
            act = replace(act, previous=previous, following=following)
        (outcomes,) = self.decide(act)
        assert isinstance(outcomes, tuple)
        return name, {outcome.placement.id: outcome.result for outcome in outcomes}

    def neighbours(
        self, position: int, targets: set[PlacementId]
    ) -> tuple[LineKey | None, LineKey | None]:
        """The keys between which a position is, of those who wait and are no targets."""
        others = [None, *(p.key for p in self.line() if p.id not in targets), None]
        index = min(position, len(others) - 1)
        return others[index - 1], others[index]

    def undo(self, done: ByHand) -> Refused | dict[PlacementId, str]:
        targets = tuple(self.placements[id_] for id_ in done.ids)
        (answer,) = self.decide(Undo(COMPANY, done.name, targets, tuple(done.events)))
        if isinstance(answer, Refused):
            return answer
        assert isinstance(answer, tuple)
        return {outcome.placement.id: outcome.result for outcome in answer}

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
                targets = tuple(self.placements[t.id] for t in act.targets)
                elsewhere = frozenset(t.id for t in targets if self.live_elsewhere(t))
                return replace(act, targets=targets, live_elsewhere=elsewhere)
            case ChangeRules() | ChangeState():
                return act

    def live_elsewhere(self, target: Placement) -> bool:
        """Whether its applicant has another live placement here."""
        return any(
            p.applicant_id == target.applicant_id and p.status != "INACTIVE" and p.id != target.id
            for p in self.placements.values()
        )

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
