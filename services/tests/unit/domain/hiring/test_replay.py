from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from shortlist.domain.hiring.acts import Withdraw
from shortlist.domain.hiring.audit import BrokenAuditError
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.replay import Standing, replay
from testkit.hiring.memory import PERSON, Memory, at


@pytest.fixture
def memory() -> Memory:
    memory = Memory(Rules(capacity=1))
    for second in range(4):
        memory.clock = at(second)
        memory.apply(second + 1)
    memory.clock = at(10)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    return memory


def told(standing: Standing) -> tuple[list[int], list[int]]:
    """Who holds a place, and who waits, in their orders."""
    return (
        [p.applicant_id for p in standing.holders()],
        [p.applicant_id for p in standing.line()],
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-0.001, ([], [])),
        (0, ([1], [])),
        (1.999, ([1], [2])),
        (2, ([1], [2, 3])),
        (9.999, ([1], [2, 3, 4])),
        (10, ([2], [3, 4])),
        (1e6, ([2], [3, 4])),
    ],
)
def test_a_moment_includes_what_happened_in_its_millisecond(
    memory: Memory, seconds: float, expected: tuple[list[int], list[int]]
) -> None:
    assert told(replay(memory.id, memory.events, as_of=at(seconds))) == expected


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [(0, ([], [])), (1, ([], [])), (3, ([1], [2])), (6, ([], [2, 3, 4])), (7, ([2], [3, 4]))],
)
def test_an_event_is_told_by_its_sequence(
    memory: Memory, sequence: int, expected: tuple[list[int], list[int]]
) -> None:
    assert told(replay(memory.id, memory.events, sequence=sequence)) == expected


def test_a_replay_goes_on_from_a_snapshot(memory: Memory) -> None:
    for cut in range(len(memory.events)):
        start = replay(memory.id, memory.events[:cut])
        assert replay(memory.id, memory.events[cut:], start=start) == replay(
            memory.id, memory.events
        )


@pytest.mark.parametrize(
    "change",
    [
        {"from_status": "INACTIVE"},
        {"to_status": "PENDING_ACKNOWLEDGMENT"},
        {"placement_id": None},
        {"held": 7},
        {"waiting": 7},
        {"metadata": {}},
    ],
)
def test_off_switch_what_cannot_be_is_not_replayed(memory: Memory, change: dict[str, Any]) -> None:
    events = list(memory.events)
    events[2] = replace(events[2], **change)
    with pytest.raises(BrokenAuditError) as broken:
        replay(memory.id, events)
    assert broken.value.sequence == 3


def test_what_happened_before_the_opening_is_not_replayed(memory: Memory) -> None:
    events = [replace(memory.events[1], sequence=1)]
    with pytest.raises(BrokenAuditError, match="comes before the opening"):
        replay(memory.id, events)


def test_a_snapshot_between_two_commits_of_one_millisecond_is_the_later(memory: Memory) -> None:
    memory.clock = at(10) + dt.timedelta(microseconds=400)
    memory.apply(5)
    assert told(replay(memory.id, memory.events, as_of=at(10))) == ([2], [3, 4, 5])
