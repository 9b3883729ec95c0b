"""All that can happen to an opening in memory, in any order (`testkit.hiring.machine`)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import rule

from shortlist.domain.hiring.acts import Withdraw
from testkit.hiring import must_hold
from testkit.hiring.machine import APPLICANTS, PICK, OpeningMachine, profile
from testkit.hiring.memory import PERSON, Memory

if TYPE_CHECKING:
    from shortlist.domain.hiring.opening import Rules
    from shortlist.domain.hiring.ordering import Order


class MemoryMachine(OpeningMachine):
    """An opening in memory, whose past is kept commit by commit."""

    world: Memory

    def begin(self, rules: Rules) -> Memory:
        return Memory(rules)

    @rule(picks=st.lists(PICK, min_size=2, max_size=4), applicant=APPLICANTS)
    def some_withdraw_while_one_applies(self, picks: list[int], applicant: int) -> None:
        leaving = [p for p in map(self.picked, picks) if p]
        newcomer = self.world.application(applicant)
        self.tick()
        expected = [self.reference.withdraw(p.id) for p in leaving]
        expected.append(self.reference.apply(newcomer.placement_id, applicant))
        self.expect(self.does(*(Withdraw(PERSON, p) for p in leaving), newcomer), tuple(expected))

    def teardown(self) -> None:
        if hasattr(self, "world"):
            for moment in {time for time, _ in self.world.commits}:
                must_hold.the_past_is_told(self.world, moment)
                must_hold.the_past_is_told(self.world, moment - dt.timedelta(milliseconds=1))


class ScoreMachine(MemoryMachine):
    """The same with the order ``score``."""

    order: Order = "score"


class MovedScoreMachine(ScoreMachine):
    """The same with moves in a line by score, whose order the reference does not know."""

    compares = False


for machine in (MemoryMachine, ScoreMachine, MovedScoreMachine):
    machine.TestCase.settings = profile(examples=60, steps=50)

TestFifo = MemoryMachine.TestCase
TestScore = ScoreMachine.TestCase
TestMovedScore = MovedScoreMachine.TestCase
