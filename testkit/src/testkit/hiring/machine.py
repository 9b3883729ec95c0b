"""All that can happen to an opening, in any order, beside a reference written differently.

The opening is kept in memory (`testkit.hiring.memory`) or by the product in Postgres
(`testkit.hiring.stored`): the same steps, the same reference, the same checks.
"""

from __future__ import annotations

import datetime as dt
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from shortlist.domain.hiring.acts import (
    Acknowledge,
    Act,
    ChangeRules,
    ChangeState,
    Score,
    Withdraw,
)
from shortlist.domain.hiring.draft import Opening, Refused
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import ApplicantId, Placement
from shortlist.domain.hiring.replay import replay
from testkit.hiring import must_hold
from testkit.hiring.memory import COMPANY, LINK, PERSON, START, at
from testkit.hiring.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from shortlist.domain.hiring.acts import Answer
    from shortlist.domain.hiring.audit import Event
    from shortlist.domain.hiring.company_acts import Action
    from shortlist.domain.hiring.ordering import Order
    from shortlist.domain.hiring.placement import PlacementId

APPLICANTS = st.integers(1, 8)
PICK = st.integers(0, 15)
PHASES = tuple(phase for phase in Phase if phase is not Phase.explain)  # it traces each line
SCORES = st.sampled_from([None, 0.0, 50.0, 50.5, 100.0])
QUARTER_SECONDS = 901.0
"""An action can be undone for 15 minutes."""


@dataclass(frozen=True)
class ByHand:
    """What the company did, to be undone: its events, of ``ids``; ``line``: who waited before."""

    name: Any
    ids: list[PlacementId]
    events: list[Event]
    line: list[PlacementId]


class World(must_hold.Tables, Protocol):
    """Keeps one opening."""

    clock: dt.datetime

    @property
    def now(self) -> dt.datetime:
        """The time of the next event."""
        ...

    def settle(self) -> None:
        """Have happen what time has caused, as the leader does."""
        ...

    def apply_together(self, applicants: Sequence[ApplicantId]) -> Sequence[Answer]:
        """Have applicants apply at once, in this order."""
        ...

    def do(self, *acts: Act) -> Sequence[Answer]:
        """Have acts happen at once, in this order."""
        ...

    def act_by_hand(
        self, action: Action, targets: Sequence[Placement], position: int | None = None
    ) -> tuple[Any, Mapping[PlacementId, str]]:
        """Have the company act; returns the action's name, and what became of each target."""
        ...

    def undo(self, done: ByHand) -> Mapping[PlacementId, str] | Refused:
        """Have the company take an action back."""
        ...


def told(answer: Answer) -> Any:
    """An answer in the reference's words."""
    match answer:
        case Placement():
            return answer.status
        case Refused():
            return answer.code
        case Opening():
            return answer.state
        case _:
            return [outcome.result for outcome in answer]


class OpeningMachine(RuleBasedStateMachine):
    """One opening with few applicants, so that they meet."""

    order: Order = "fifo"
    compares = True
    """False: only what must hold is checked, and the reference follows."""

    @abstractmethod
    def begin(self, rules: Rules) -> World:
        """Open an opening."""

    def expect(self, answers: object, expected: object) -> None:
        assert answers == expected or not self.compares, f"answered {answers}, not {expected}"

    @initialize(
        capacity=st.integers(1, 2),
        everyone=st.booleans(),
        max_misses=st.sampled_from([None, 1, 2]),
        fill_from=st.sampled_from([None, 30]),
        closes_at=st.sampled_from([None, 400]),
        first=st.integers(0, 8),
    )
    def opens(
        self,
        *,
        capacity: int,
        everyone: bool,
        max_misses: int | None,
        fill_from: int | None,
        closes_at: int | None,
        first: int,
    ) -> None:
        rules = Rules(
            capacity,
            ack_window_seconds=10,
            order=self.order,
            confirm="everyone" if everyone else "promoted",
            fill_from=None if fill_from is None else at(fill_from),
            closes_at=None if closes_at is None else at(closes_at),
            max_misses=max_misses,
        )
        self.world = self.begin(rules)
        self.reference = Reference(
            capacity,
            dt.timedelta(seconds=10),
            self.order,
            everyone,
            max_misses,
            rules.fill_from,
            rules.closes_at,
            START,
        )
        self.actions: list[ByHand] = []
        self.apply_together(range(1, first + 1))

    def does(self, *acts: Act) -> tuple[Any, ...]:
        return tuple(map(told, self.world.do(*acts)))

    def picked(self, pick: int) -> Placement | None:
        placements = list(self.world.placements.values())
        return placements[pick % len(placements)] if placements else None

    def tick(self) -> set[int]:
        return self.reference.tick(self.world.now)

    @rule(
        seconds=st.sampled_from(
            [-5.0, 0.0004, 0.001, 1.0, 9.999, 10.0, 10.001, 25.0, QUARTER_SECONDS]
        )
    )
    def time_passes(self, seconds: float) -> None:
        self.world.clock += dt.timedelta(seconds=seconds)

    @rule(milliseconds=st.sampled_from([0, 1]))
    def a_deadline_comes(self, milliseconds: int) -> None:
        deadlines = [p.deadline for p in self.world.held() if p.deadline]
        if deadlines:
            self.world.clock = min(deadlines) + dt.timedelta(milliseconds=milliseconds)

    @rule()
    def leader_settles(self) -> None:
        self.tick()
        self.world.settle()

    @rule(applicants=st.lists(APPLICANTS, min_size=1, max_size=4))
    def they_apply_together(self, applicants: list[int]) -> None:
        self.apply_together(applicants)

    def apply_together(self, numbers: Iterable[int]) -> None:
        applicants = [ApplicantId(number) for number in numbers]
        if not applicants:
            return
        self.tick()
        answers = self.world.apply_together(applicants)
        expected = [
            self.reference.apply(_id_of(answer), applicant)
            for answer, applicant in zip(answers, applicants, strict=True)
        ]
        self.expect([told(answer) for answer in answers], expected)

    @rule(pick=PICK)
    def one_acknowledges(self, pick: int) -> None:
        if placement := self.picked(pick):
            missed = self.tick()
            expected = self.reference.acknowledge(placement.id, missed)
            self.expect(self.does(Acknowledge(LINK, placement)), (expected,))

    @rule(pick=PICK)
    def one_withdraws(self, pick: int) -> None:
        if placement := self.picked(pick):
            self.tick()
            expected = self.reference.withdraw(placement.id)
            self.expect(self.does(Withdraw(PERSON, placement)), (expected,))

    @rule(picks=st.lists(PICK, min_size=2, max_size=4))
    def some_withdraw_together(self, picks: list[int]) -> None:
        leaving = [p for p in map(self.picked, picks) if p]
        if leaving:
            self.tick()
            expected = [self.reference.withdraw(p.id) for p in leaving]
            self.expect(self.does(*(Withdraw(PERSON, p) for p in leaving)), tuple(expected))

    @rule(scores=st.dictionaries(PICK, SCORES, min_size=1, max_size=4))
    def scores_arrive(self, scores: dict[int, float | None]) -> None:
        for pick, score in scores.items():
            if placement := self.picked(pick):
                self.tick()
                expected = self.reference.scored(placement.id, score)
                self.expect(self.does(Score(PERSON, placement, "s-1", score)), (expected,))

    @rule(capacity=st.integers(1, 4))
    def the_capacity_changes(self, capacity: int) -> None:
        rules = self.world.opening.rules
        changed = replace(rules, capacity=capacity)
        self.tick()
        if self.reference.state != "ended":
            self.reference.resize(capacity)
        self.does(ChangeRules(COMPANY, changed))

    @rule(change=st.sampled_from(["close", "reopen"]))
    def the_company_closes_or_reopens(self, change: str) -> None:
        self.tick()
        state = self.reference.state
        if state != "ended":
            self.reference.state = "closed" if change == "close" else "open"
            closes_at = self.reference.closes_at
            has_passed = closes_at is not None and closes_at <= self.world.now
            if change == "reopen" and state == "closed" and has_passed:
                self.reference.closes_at = None
        self.does(ChangeState(COMPANY, "close" if change == "close" else "reopen"))

    @precondition(lambda self: len(self.world.events) > 40)
    @rule()
    def the_company_ends_it(self) -> None:
        self.tick()
        self.reference.end()
        self.expect(self.does(ChangeState(COMPANY, "end")), ("ended",))

    def acts(
        self, action: Action, targets: Sequence[Placement], position: int | None = None
    ) -> list[str]:
        """Have the company act, and keep the action for an undo."""
        before = len(self.world.events)
        name, results = self.world.act_by_hand(action, targets, position)
        mine = [e for e in self.world.events[before:] if must_hold.act_of(e) is not None]
        if mine:
            ids = [e.placement_id for e in mine if e.placement_id]
            before_it = replay(self.world.id, self.world.events[: mine[0].sequence - 1])
            self.actions.append(ByHand(name, ids, mine, [p.id for p in before_it.line()]))
        return [results[target.id] for target in targets]

    @rule(picks=st.lists(PICK, min_size=1, max_size=3, unique=True))
    def the_company_removes(self, picks: list[int]) -> None:
        targets = list({p.id: p for p in map(self.picked, picks) if p}.values())
        if targets:
            self.tick()
            expected = self.reference.remove([t.id for t in targets])
            self.expect(self.acts("remove", targets), expected)

    @rule(pick=PICK)
    def the_company_promotes(self, pick: int) -> None:
        if target := self.picked(pick):
            self.tick()
            expected = self.reference.promote(target.id)
            if self.reference.state != "ended":
                self.expect(self.acts("promote", [target]), [expected])

    @precondition(lambda self: self.order == "fifo" or not self.compares)
    @rule(pick=PICK, position=st.integers(1, 5))
    def the_company_moves_one_in_line(self, pick: int, position: int) -> None:
        if target := self.picked(pick):
            self.tick()
            self.world.settle()  # the place that a position means is told from the line as it is
            others = [p for p in self.world.line() if p.id != target.id]
            expected = self.reference.move(target.id, min(position, len(others) + 1))
            self.expect(self.acts("move", [target], position), [expected])

    @rule(pick=PICK)
    def the_company_reinstates(self, pick: int) -> None:
        if (target := self.picked(pick)) and target.status == "INACTIVE":
            self.tick()
            self.world.settle()
            has_another = self.has_another(target)
            (result,) = self.acts("reinstate", [target])
            if self.reference.state == "ended" or has_another:
                assert result in {"ended", "applied_again"}
                return
            assert result == "reinstated"
            self.follows()

    def has_another(self, placement: Placement) -> bool:
        return any(
            p.applicant_id == placement.applicant_id
            and p.status != "INACTIVE"
            and p.id != placement.id
            for p in self.world.placements.values()
        )

    @precondition(lambda self: bool(self.actions))
    @rule(pick=PICK)
    def the_company_takes_an_action_back(self, pick: int) -> None:
        done = self.actions[pick % len(self.actions)]
        may_return_to_the_front = any(e.from_status != "WAITLIST" for e in done.events)
        if self.compares and self.order == "score" and may_return_to_the_front:
            return  # which is no order by score
        self.tick()
        self.world.settle()
        waited = {p.id: p.last_sequence for p in self.world.line()}
        results = self.world.undo(done)
        if isinstance(results, Refused):
            assert results.code == "GONE"
            assert self.world.now > done.events[0].at + dt.timedelta(minutes=15)
            return
        assert set(results.values()) <= {"undone", "changed_since", "applied_again", "ended"}
        if "undone" in results.values():
            self.follows()
        if done.events[0].type == "WITHDRAWN" and self.order == "fifo":
            self.they_stand_as_before(done, results, waited)

    def they_stand_as_before(
        self, done: ByHand, results: Mapping[PlacementId, str], waited: Mapping[PlacementId, int]
    ) -> None:
        undone = {id_ for id_, result in results.items() if result == "undone"}
        back = {e.placement_id for e in done.events if e.from_status == "WAITLIST"} & undone
        stood = {i for i, last in waited.items() if last < done.events[0].sequence}
        now = [p.id for p in self.world.line() if p.id in stood | back]
        assert now == [i for i in done.line if i in now], "they stand as they stood before"

    def follows(self) -> None:
        """The reference takes over where one was put back; `must_hold.check` judges the rest."""
        for p in self.world.placements.values():
            person = self.reference.people[p.id]
            person.status, person.deadline = p.status, p.deadline
            person.is_last_decay = p.last_event == "DECAY_TRIGGERED"
        self.reference.line = [p.id for p in self.world.line()]

    @invariant()
    def what_must_hold_does(self) -> None:
        if not hasattr(self, "world"):
            return
        if len(self.world.events) > 1 and self.is_settled():
            self.check()
            if self.compares:
                self.reference_agrees()
        if not self.compares:
            self.follows()

    def check(self) -> None:
        must_hold.check(self.world)
        must_hold.nothing_is_overdue(self.world, self.world.now)

    def is_settled(self) -> bool:
        """Whether an act was the last thing that happened, and not the clock alone."""
        return self.world.now == self.reference.now

    def reference_agrees(self) -> None:
        people = self.reference.people
        line = [p.id for p in self.world.line()]
        assert line == self.reference.line, f"the line is {line}, not {self.reference.line}"
        expected = {i: (p.status, p.misses, p.score, p.deadline) for i, p in people.items()}
        found = {
            i: (p.status, p.misses, p.score, p.deadline) for i, p in self.world.placements.items()
        }
        assert found == expected, f"placements are {found}, not {expected}"
        assert self.world.opening.state == self.reference.state


def _id_of(answer: Answer) -> int:
    """A new placement's id; -1 when there is none."""
    return answer.id if isinstance(answer, Placement) else -1


def profile(examples: int, steps: int) -> settings:
    """Hypothesis's settings of a machine."""
    return settings(max_examples=examples, stateful_step_count=steps, deadline=None, phases=PHASES)
