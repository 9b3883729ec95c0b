from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId
from shortlist.ingest.admission.line_capacity import LineCapacity, LineFullError
from shortlist.ingest.endpoint import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 1_000.0
"""Seconds after which the sweep has found everything."""


class Gauge(RuleBasedStateMachine):
    """One process, a Redis that comes and goes, a Postgres that knows, a sweep, and workers."""

    @initialize(capacity=st.integers(1, 5))
    def begin(self, capacity: int) -> None:
        self.capacity = capacity
        self.gauge = LineCapacity(DEFAULT_PIPELINE, capacity)
        self.now = 0.0
        self.numbers = count(1)
        self.under_way: list[ApplicationId] = []
        self.strays: list[ApplicationId] = []  # accepted, and unknown to Redis
        self.in_line: list[ApplicationId] = []

    @property
    def accepted(self) -> int:
        return len(self.strays) + len(self.in_line)

    @rule()
    def a_client_asks(self) -> None:
        application = ApplicationId(UUID(int=next(self.numbers)))
        with suppress(LineFullError):
            self.gauge.enter(application)
            self.under_way.append(application)

    @precondition(lambda self: self.under_way)
    @rule()
    def a_commit_fails(self) -> None:
        self.gauge.leave(self.under_way.pop(0))

    @precondition(lambda self: self.under_way)
    @rule()
    def redis_takes_it(self) -> None:
        self.in_line.append(self.under_way.pop(0))
        self.gauge.published(self.in_line[-1:], len(self.in_line), self.now)

    @precondition(lambda self: self.under_way)
    @rule()
    def redis_does_not_take_it(self) -> None:
        self.strays.append(self.under_way.pop(0))
        self.gauge.strayed(self.strays[-1:], self.now)

    @rule()
    def redis_tells(self) -> None:
        self.gauge.tell(len(self.in_line), self.now)

    @rule()
    def postgres_counts(self) -> None:
        oldest = self.gauge.oldest_under_way() or ApplicationId(UUID(int=next(self.numbers)))
        found = [a for a in self.strays + self.in_line if a < oldest]
        self.gauge.count(len(found), oldest)

    @rule()
    def the_sweep_finds_the_strays_in_time(self) -> None:
        self.in_line += self.strays
        self.strays.clear()
        self.now += LONG
        self.gauge.tell(len(self.in_line), self.now)

    @precondition(lambda self: self.in_line)
    @rule()
    def a_worker_finishes_one(self) -> None:
        self.in_line.pop()

    @invariant()
    def never_more_than_there_are_places(self) -> None:
        if hasattr(self, "gauge"):
            assert self.accepted <= self.capacity
            assert self.gauge.depth >= self.accepted + len(self.under_way)


TestGauge = Gauge.TestCase


@pytest.fixture
def new() -> Callable[[], ApplicationId]:
    numbers = count(1)
    return lambda: ApplicationId(UUID(int=next(numbers)))


def test_what_postgres_counted_is_not_counted_twice(new: Callable[[], ApplicationId]) -> None:
    gauge = LineCapacity(DEFAULT_PIPELINE, 3)
    stray, under_way = new(), new()
    gauge.enter(stray)
    gauge.strayed([stray], 0)
    gauge.enter(under_way)
    before = gauge.oldest_under_way()
    assert before == under_way
    gauge.strayed([under_way], 0)  # while Postgres counts
    gauge.count(1, before)
    assert gauge.depth == 2


def test_the_place_of_what_was_not_accepted_is_free_again(
    new: Callable[[], ApplicationId],
) -> None:
    gauge = LineCapacity(DEFAULT_PIPELINE, 1)
    gauge.enter(first := new())
    with pytest.raises(LineFullError) as refused:
        gauge.enter(new())
    answer = refusal(refused.value, "POST /applications")
    assert (answer.status, answer.headers) == (429, ((b"retry-after", b"1"),))
    gauge.leave(first)
    gauge.enter(new())
