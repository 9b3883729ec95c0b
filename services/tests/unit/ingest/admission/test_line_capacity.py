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
from shortlist.ingest.admission.line_capacity import LineCapacity, LineFullError, Place
from shortlist.ingest.endpoint import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 1_000.0
"""Seconds after which the sweep has found everything."""


class Line(RuleBasedStateMachine):
    """One process, a Redis that comes and goes, a Postgres that knows, a sweep, and workers."""

    @initialize(capacity=st.integers(1, 5))
    def begin(self, capacity: int) -> None:
        self.capacity = capacity
        self.line = LineCapacity(DEFAULT_PIPELINE, capacity)
        self.now = 0.0
        self.numbers = count(1)
        self.places: dict[ApplicationId, Place] = {}
        self.under_way: list[ApplicationId] = []
        self.unpublished: list[ApplicationId] = []  # accepted, and unknown to Redis
        self.in_line: list[ApplicationId] = []

    @property
    def accepted(self) -> int:
        return len(self.unpublished) + len(self.in_line)

    @rule()
    def a_client_asks(self) -> None:
        application = ApplicationId(UUID(int=next(self.numbers)))
        with suppress(LineFullError):
            self.places[application] = self.line.place(application)
            self.under_way.append(application)

    @precondition(lambda self: self.under_way)
    @rule()
    def a_commit_fails(self) -> None:
        self.places[self.under_way.pop(0)].leave()

    @precondition(lambda self: self.under_way)
    @rule()
    def redis_takes_it(self) -> None:
        self.in_line.append(self.under_way.pop(0))
        self.line.record_published(self.in_line[-1:], len(self.in_line), self.now)

    @precondition(lambda self: self.under_way)
    @rule()
    def redis_does_not_take_it(self) -> None:
        self.unpublished.append(self.under_way.pop(0))
        self.line.record_unpublished(self.unpublished[-1:], self.now)

    @rule()
    def redis_reports(self) -> None:
        self.line.record_depth(len(self.in_line), self.now)

    @rule()
    def postgres_counts(self) -> None:
        oldest = self.line.oldest_taken() or ApplicationId(UUID(int=next(self.numbers)))
        found = [a for a in self.unpublished + self.in_line if a < oldest]
        self.line.record_count(len(found), oldest)

    @rule()
    def the_sweep_publishes_the_rest_in_time(self) -> None:
        self.in_line += self.unpublished
        self.unpublished.clear()
        self.now += LONG
        self.line.record_depth(len(self.in_line), self.now)

    @precondition(lambda self: self.in_line)
    @rule()
    def a_worker_finishes_one(self) -> None:
        self.in_line.pop()

    @invariant()
    def never_more_than_there_are_places(self) -> None:
        if hasattr(self, "line"):
            assert self.accepted <= self.capacity
            assert self.line.depth >= self.accepted + len(self.under_way)


TestLine = Line.TestCase


@pytest.fixture
def new() -> Callable[[], ApplicationId]:
    numbers = count(1)
    return lambda: ApplicationId(UUID(int=next(numbers)))


def test_what_postgres_counted_is_not_counted_twice(new: Callable[[], ApplicationId]) -> None:
    line = LineCapacity(DEFAULT_PIPELINE, 3)
    unpublished, under_way = new(), new()
    line.place(unpublished)
    line.record_unpublished([unpublished], 0)
    line.place(under_way)
    before = line.oldest_taken()
    assert before == under_way
    line.record_unpublished([under_way], 0)  # while Postgres counts
    line.record_count(1, before)
    assert line.depth == 2


def test_the_place_of_what_was_not_accepted_is_free_again(
    new: Callable[[], ApplicationId],
) -> None:
    line = LineCapacity(DEFAULT_PIPELINE, 1)
    with line.place(new()):
        with pytest.raises(LineFullError) as refused:
            line.place(new())
        answer = refusal(refused.value, "POST /applications")
        assert (answer.status, answer.headers) == (429, ((b"retry-after", b"1"),))
    line.place(new())


def test_a_place_is_given_back_when_its_commit_fails(new: Callable[[], ApplicationId]) -> None:
    line = LineCapacity(DEFAULT_PIPELINE, 1)
    with pytest.raises(ConnectionError), line.place(new()):
        raise ConnectionError
    assert line.depth == 0


def test_a_place_that_is_kept_stays_taken_after_its_block(
    new: Callable[[], ApplicationId],
) -> None:
    line = LineCapacity(DEFAULT_PIPELINE, 1)
    with line.place(new()) as place:
        place.keep()
    assert line.is_full
    place.leave()
    assert line.depth == 0
