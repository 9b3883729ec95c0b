"""All that can happen to an opening, in any order, beside a reference written differently."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
from shortlist.domain.hiring.company_acts import CompanyAct, Undo
from shortlist.domain.hiring.draft import Opening, Refused
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import Placement, PlacementId
from testkit.hiring import must_hold
from testkit.hiring.memory import COMPANY, LINK, PERSON, START, Memory, at
from testkit.hiring.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shortlist.domain.hiring.audit import Event
    from shortlist.domain.hiring.ordering import Order

APPLICANTS = st.integers(1, 8)
PICK = st.integers(0, 15)
PHASES = tuple(phase for phase in Phase if phase is not Phase.explain)  # it traces each line
SCORES = st.sampled_from([None, 0.0, 50.0, 50.5, 100.0])


def told(answer: Any) -> Any:
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

    def expect(self, answers: object, expected: object) -> None:
        assert answers == expected or not self.compares

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
        self.memory = Memory(rules)
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
        self.actions: list[tuple[list[PlacementId], list[Event], list[PlacementId]]] = []
        self.apply_together(range(1, first + 1))

    def does(self, *acts: Act) -> tuple[Any, ...]:
        return tuple(told(answer) for answer in self.memory.decide(*acts))

    def picked(self, pick: int) -> Placement | None:
        placements = list(self.memory.placements.values())
        return placements[pick % len(placements)] if placements else None

    def tick(self) -> set[int]:
        return self.reference.tick(self.memory.now)

    @rule(seconds=st.sampled_from([-5.0, 0.0004, 0.001, 1.0, 9.999, 10.0, 10.001, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.memory.clock += dt.timedelta(seconds=seconds)

    @rule(milliseconds=st.sampled_from([0, 1]))
    def a_deadline_comes(self, milliseconds: int) -> None:
        deadlines = [p.deadline for p in self.memory.held() if p.deadline]
        if deadlines:
            self.memory.clock = min(deadlines) + dt.timedelta(milliseconds=milliseconds)

    @rule()
    def leader_settles(self) -> None:
        self.tick()
        self.memory.settle()

    @rule(applicants=st.lists(APPLICANTS, min_size=1, max_size=4))
    def they_apply_together(self, applicants: list[int]) -> None:
        self.apply_together(applicants)

    def apply_together(self, applicants: Iterable[int]) -> None:
        acts = [self.memory.application(number) for number in applicants]
        self.tick()
        expected = tuple(self.reference.apply(a.placement_id, a.applicant_id) for a in acts)
        answers = self.does(*acts)
        self.expect(answers, expected)

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

    @rule(picks=st.lists(PICK, min_size=2, max_size=4), applicant=APPLICANTS)
    def some_withdraw_while_one_applies(self, picks: list[int], applicant: int) -> None:
        leaving = [p for p in map(self.picked, picks) if p]
        newcomer = self.memory.application(applicant)
        self.tick()
        expected = [self.reference.withdraw(p.id) for p in leaving]
        expected.append(self.reference.apply(newcomer.placement_id, applicant))
        self.expect(self.does(*(Withdraw(PERSON, p) for p in leaving), newcomer), tuple(expected))

    @rule(scores=st.dictionaries(PICK, SCORES, min_size=1, max_size=4))
    def scores_arrive(self, scores: dict[int, float | None]) -> None:
        for pick, score in scores.items():
            if placement := self.picked(pick):
                self.tick()
                expected = self.reference.scored(placement.id, score)
                self.expect(self.does(Score(PERSON, placement, "s-1", score)), (expected,))

    @rule(capacity=st.integers(1, 4))
    def the_capacity_changes(self, capacity: int) -> None:
        rules = self.memory.opening.rules
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
            has_passed = closes_at is not None and closes_at <= self.memory.now
            if change == "reopen" and state == "closed" and has_passed:
                self.reference.closes_at = None
        self.does(ChangeState(COMPANY, "close" if change == "close" else "reopen"))

    @precondition(lambda self: len(self.memory.events) > 40)
    @rule()
    def the_company_ends_it(self) -> None:
        self.tick()
        self.reference.end()
        self.expect(self.does(ChangeState(COMPANY, "end")), ("ended",))

    def acts(self, action: Any, targets: list[Placement], **where: Any) -> Any:
        """Have the company act, and keep the action for an undo."""
        before = len(self.memory.events)
        line = [p.id for p in self.memory.line()]
        name = f"a{before}"
        act = CompanyAct(COMPANY, name, action, tuple(targets), "digest", **where)
        (results,) = self.does(act)
        mine = [e for e in self.memory.events[before:] if e.metadata.get("actionId") == name]
        if mine:
            ids = [e.placement_id for e in mine if e.placement_id]
            self.actions.append((ids, mine, line))
        return results

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
            self.memory.settle()
            expected = self.reference.promote(target.id)
            if self.reference.state != "ended":
                self.expect(self.acts("promote", [target]), [expected])

    @precondition(lambda self: self.order == "fifo" or not self.compares)
    @rule(pick=PICK, position=st.integers(1, 5))
    def the_company_moves_one_in_line(self, pick: int, position: int) -> None:
        if not (target := self.picked(pick)):
            return
        self.tick()
        self.memory.settle()
        others = [p.key for p in self.memory.line() if p.id != target.id]
        at_index = min(position - 1, len(others))
        expected = self.reference.move(target.id, at_index + 1)
        results = self.acts(
            "move",
            [target],
            previous=others[at_index - 1] if at_index else None,
            following=others[at_index] if at_index < len(others) else None,
        )
        self.expect(results, [expected])

    @rule(pick=PICK)
    def the_company_reinstates(self, pick: int) -> None:
        if (target := self.picked(pick)) and target.status == "INACTIVE":
            self.tick()
            self.memory.settle()
            live = self.has_another(target.id)
            (result,) = self.acts("reinstate", [target], live_elsewhere=live)
            if self.reference.state == "ended" or live:
                assert result in {"ended", "applied_again"}
                return
            assert result == "reinstated"
            self.follows()

    def has_another(self, placement_id: PlacementId) -> frozenset[PlacementId]:
        applicant = self.memory.placements[placement_id].applicant_id
        live = [
            p
            for p in self.memory.placements.values()
            if p.applicant_id == applicant and p.status != "INACTIVE" and p.id != placement_id
        ]
        return frozenset({placement_id}) if live else frozenset()

    @precondition(lambda self: bool(self.actions))
    @rule(pick=PICK)
    def the_company_takes_an_action_back(self, pick: int) -> None:
        ids, events, line = self.actions[pick % len(self.actions)]
        if (
            self.compares
            and self.order == "score"
            and any(e.from_status != "WAITLIST" for e in events)
        ):
            return  # one of them may return to the front, which is no order by score
        self.tick()
        self.memory.settle()
        targets = [self.memory.placements[i] for i in ids]
        live = frozenset[PlacementId]().union(*(self.has_another(t.id) for t in targets))
        waited = {p.id: p.last_sequence for p in self.memory.line()}
        undo = Undo(COMPANY, "a", tuple(targets), tuple(events), live_elsewhere=live)
        (results,) = self.does(undo)
        if results == "GONE":
            assert self.memory.now > events[0].at + dt.timedelta(minutes=15)
            return
        assert set(results) <= {"undone", "changed_since", "applied_again", "ended"}
        if "undone" in results:
            self.follows()
        if events[0].type == "WITHDRAWN" and self.order == "fifo":
            undone = {i for i, result in zip(ids, results, strict=True) if result == "undone"}
            back = {e.placement_id for e in events if e.from_status == "WAITLIST"} & undone
            stood = {i for i, last in waited.items() if last < events[0].sequence}
            now = [p.id for p in self.memory.line() if p.id in stood | back]
            assert now == [i for i in line if i in now], "they stand as they stood before"

    def follows(self) -> None:
        """The reference takes over where one was put back; `must_hold.check` judges the rest."""
        for p in self.memory.placements.values():
            person = self.reference.people[p.id]
            person.status, person.deadline = p.status, p.deadline
            person.is_last_decay = p.last_event == "DECAY_TRIGGERED"
        self.reference.line = [p.id for p in self.memory.line()]

    @invariant()
    def what_must_hold_does(self) -> None:
        if not hasattr(self, "memory"):
            return
        if self.memory.transactions and self.is_settled():
            must_hold.check(self.memory)
            if self.compares:
                self.reference_agrees()
        if not self.compares:
            self.follows()

    def is_settled(self) -> bool:
        """Whether an act was the last thing that happened, and not the clock alone."""
        return self.memory.now == self.reference.now

    def reference_agrees(self) -> None:
        people = self.reference.people
        assert [p.id for p in self.memory.line()] == self.reference.line
        assert {i: (p.status, p.misses, p.score, p.deadline) for i, p in people.items()} == {
            i: (p.status, p.misses, p.score, p.deadline) for i, p in self.memory.placements.items()
        }
        assert self.memory.opening.state == self.reference.state

    def teardown(self) -> None:
        if hasattr(self, "memory"):
            for moment in {time for time, _ in self.memory.commits}:
                must_hold.the_past_is_told(self.memory, moment)
                must_hold.the_past_is_told(self.memory, moment - dt.timedelta(milliseconds=1))


class ScoreMachine(OpeningMachine):
    """The same with the order ``score``."""

    order: Order = "score"


class MovedScoreMachine(ScoreMachine):
    """The same with moves in a line by score, whose order the reference does not know."""

    compares = False


for machine in (OpeningMachine, ScoreMachine, MovedScoreMachine):
    machine.TestCase.settings = settings(
        max_examples=60, stateful_step_count=50, deadline=None, phases=PHASES
    )

TestFifo = OpeningMachine.TestCase
TestScore = ScoreMachine.TestCase
TestMovedScore = MovedScoreMachine.TestCase
