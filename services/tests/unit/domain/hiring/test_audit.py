from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import pytest

from shortlist.domain.hiring.acts import Acknowledge, Withdraw
from shortlist.domain.hiring.audit import (
    BrokenAuditError,
    Event,
    canonical,
    next_time,
    start_of_chain,
    tail_of,
    verify,
)
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import OpeningId
from shortlist.domain.hiring.replay import replay
from testkit.hiring.memory import LINK, PERSON, START, Memory, at


@pytest.fixture
def memory() -> Memory:
    """Two applicants for one place: the first leaves, the second is promoted and acknowledges."""
    memory = Memory(Rules(capacity=1))
    memory.apply(1)
    memory.apply(2)
    memory.clock = at(5)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    memory.clock = at(9)
    memory.decide(Acknowledge(LINK, memory.named(2)))
    return memory


def test_the_events_say_what_the_contract_says(memory: Memory) -> None:
    one, two = memory.named(1).id, memory.named(2).id
    told = [(e.type, e.placement_id, e.from_status, e.to_status) for e in memory.events]
    assert told == [
        ("OPENED", None, None, None),
        ("APPLIED", one, None, "ACTIVE"),
        ("APPLIED", two, None, "WAITLIST"),
        ("WITHDRAWN", one, "ACTIVE", "INACTIVE"),
        ("PROMOTED", two, "WAITLIST", "PENDING_ACKNOWLEDGMENT"),
        ("ACKNOWLEDGED", two, "PENDING_ACKNOWLEDGMENT", "ACTIVE"),
    ]
    assert [(e.held, e.waiting) for e in memory.events] == [
        (0, 0), (1, 0), (1, 1), (0, 1), (1, 0), (1, 0)
    ]  # fmt: skip
    assert [e.metadata for e in memory.events[1:]] == [
        {"jobId": 9, "applicantId": 1},
        {"jobId": 9, "applicantId": 2},
        {"jobId": 9},
        {"jobId": 9, "acknowledgeDeadline": "2026-05-04T10:05:05.000Z"},
        {"jobId": 9, "acknowledgedAt": "2026-05-04T10:00:09.000Z"},
    ]
    assert [e.sequence for e in memory.events] == [1, 2, 3, 4, 5, 6]


def test_the_chain_of_an_untouched_audit_is_whole_and_can_be_checked_in_parts(
    memory: Memory,
) -> None:
    start = start_of_chain(memory.id)
    end = verify(start, memory.events)
    assert end == tail_of(memory.events[-1])
    assert verify(verify(start, memory.events[:3]), memory.events[3:]) == end


def through_json(event: Event) -> Event:
    """An event whose metadata Postgres gave back, with its keys in another order."""
    metadata = dict(sorted(event.metadata.items(), reverse=True))
    return replace(event, metadata=json.loads(json.dumps(metadata)))


def test_a_chain_is_whole_after_its_metadata_went_through_jsonb(memory: Memory) -> None:
    verify(start_of_chain(memory.id), map(through_json, memory.events))


CHANGES = {
    "time": lambda e: replace(e, at=e.at + dt.timedelta(milliseconds=1)),
    "type": lambda e: replace(e, type="MOVED"),
    "actor": lambda e: replace(e, actor=replace(e.actor, reference="2")),
    "placement": lambda e: replace(e, placement_id=e.placement_id + 1),
    "from": lambda e: replace(e, from_status="INACTIVE"),
    "to": lambda e: replace(e, to_status="PENDING_ACKNOWLEDGMENT"),
    "metadata": lambda e: replace(e, metadata={**e.metadata, "jobId": 10}),
    "held": lambda e: replace(e, held=e.held + 1),
    "waiting": lambda e: replace(e, waiting=e.waiting + 1),
    "digest": lambda e: replace(e, digest=bytes(32)),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("index", [1, 3])
def test_off_switch_a_changed_event_breaks_the_chain(memory: Memory, what: str, index: int) -> None:
    events = list(memory.events)
    events[index] = CHANGES[what](events[index])
    with pytest.raises(BrokenAuditError) as broken:
        verify(start_of_chain(memory.id), events)
    assert broken.value.sequence == index + 1


@pytest.mark.parametrize("index", range(5))
def test_off_switch_a_missing_event_breaks_the_chain(memory: Memory, index: int) -> None:
    events = memory.events[:index] + memory.events[index + 1 :]
    with pytest.raises(BrokenAuditError, match="is missing"):
        verify(start_of_chain(memory.id), events)
    with pytest.raises(BrokenAuditError, match="is missing"):
        replay(memory.id, events)


def test_events_of_another_opening_do_not_fit(memory: Memory) -> None:
    moved = [replace(event, opening_id=OpeningId(10)) for event in memory.events]
    with pytest.raises(BrokenAuditError, match="was changed"):
        verify(start_of_chain(OpeningId(10)), moved)
    with pytest.raises(BrokenAuditError, match="belongs to"):
        verify(start_of_chain(OpeningId(10)), memory.events)


def test_the_hashed_bytes_are_these_for_good(memory: Memory) -> None:
    assert canonical(memory.events[4]) == (
        b'[9,5,"2026-05-04T10:00:05.000Z","PROMOTED",["system",null],1002,"WAITLIST",'
        b'"PENDING_ACKNOWLEDGMENT",{"acknowledgeDeadline":"2026-05-04T10:05:05.000Z","jobId":9},'
        b"1,0]"
    )
    assert memory.events[0].digest.hex() == (
        "a5a549e609f4fe78585a46a2931212dbed87f8cb3580fbe36f40ba254396474e"
    )


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        (START + dt.timedelta(microseconds=1999), START + dt.timedelta(milliseconds=1)),
        (START + dt.timedelta(microseconds=999), START),
        (START - dt.timedelta(hours=1), START),
    ],
)
def test_times_never_run_backwards_and_are_kept_to_the_millisecond(
    clock: dt.datetime, expected: dt.datetime
) -> None:
    assert next_time(clock, START) == expected
