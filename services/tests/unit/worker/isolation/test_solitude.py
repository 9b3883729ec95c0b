from __future__ import annotations

import time
from uuid import UUID

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE, WorkerId
from shortlist.worker.isolation.solitude import Solitude
from shortlist.worker.state import WorkerState


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.fixture
def state() -> WorkerState:
    return WorkerState(WorkerId(UUID(int=1)), DEFAULT_PIPELINE, "perJob", 10, 1, 11, 0.0)


def after_a_suspect(solitude: Solitude, clock: Clock, seconds: float) -> None:
    with solitude.reserved():
        clock.now += seconds


def test_one_suspect_at_a_time_and_the_puller_knows(state: WorkerState) -> None:
    solitude = Solitude(state)
    with solitude.reserved():
        assert state.alone
        assert not solitude.may_begin(others=0)
    assert not state.alone
    assert solitude.may_begin(others=0)


def test_the_others_are_served_for_as_long_as_a_suspect_was(
    state: WorkerState, clock: Clock
) -> None:
    solitude = Solitude(state)
    after_a_suspect(solitude, clock, 8.0)
    clock.now += 7.9
    assert not solitude.may_begin(others=3)
    clock.now += 0.2
    assert solitude.may_begin(others=3)


def test_a_worker_with_nothing_else_to_do_takes_the_next_suspect_at_once(
    state: WorkerState, clock: Clock
) -> None:
    solitude = Solitude(state)
    after_a_suspect(solitude, clock, 8.0)
    assert solitude.may_begin(others=0)


def test_no_suspect_waits_for_more_than_a_minute(state: WorkerState, clock: Clock) -> None:
    solitude = Solitude(state)
    after_a_suspect(solitude, clock, 600.0)
    clock.now += 60.1
    assert solitude.may_begin(others=3)
