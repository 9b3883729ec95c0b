from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from shortlist.domain.hiring.audit import BrokenAuditError, digest_of
from shortlist.domain.hiring.opening import Rules
from shortlist.hiring.exported import NotAnAuditError, verify_export
from shortlist.hiring.views import AuditActor, AuditEvent
from testkit.hiring.memory import Memory, at

if TYPE_CHECKING:
    from shortlist.domain.hiring.audit import Event


def line(event: Event) -> str:
    """An event as an export has it."""
    return AuditEvent(
        id=event.sequence,
        application_id=event.placement_id,
        event_type=event.type,
        from_status=event.from_status,
        to_status=event.to_status,
        metadata=dict(event.metadata),
        created_at=event.at,
        job_id=event.opening_id,
        sequence=event.sequence,
        actor=AuditActor(kind=event.actor.kind, reference=event.actor.reference),
        held=event.held,
        waiting=event.waiting,
        digest=event.digest.hex(),
    ).model_dump_json(by_alias=True)


@pytest.fixture
def memory() -> Memory:
    """An opening with a past: places, a line, an offer that ran out, and a company's act."""
    memory = Memory(Rules(capacity=2))
    for applicant in range(1, 6):
        memory.apply(applicant)
    memory.act_by_hand("remove", [memory.named(1)])
    memory.clock = at(1000)
    memory.settle()
    memory.act_by_hand("move", [memory.named(5)], position=1)
    return memory


@pytest.fixture
def lines(memory: Memory) -> list[str]:
    return [line(event) for event in memory.events]


def test_an_export_that_is_whole_verifies_alone(memory: Memory, lines: list[str]) -> None:
    found = verify_export([*lines, "\n"])
    assert found.opening_id == memory.id
    assert found.events == len(memory.events)
    assert found.head == memory.events[-1].digest


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("createdAt", "2026-05-04T10:00:00.001Z"),
        ("actor", {"kind": "person", "reference": "2"}),
        ("actor", {"kind": "system", "reference": None}),
        ("metadata", {}),
        ("applicationId", 7),
        ("toStatus", "INACTIVE"),
        ("held", 0),
        ("waiting", 9),
        ("eventType", "WITHDRAWN"),
        ("jobId", 8),
    ],
)
def test_what_was_changed_is_found(lines: list[str], field: str, value: Any) -> None:
    changed = json.loads(lines[3])
    assert changed[field] != value
    lines[3] = json.dumps(changed | {field: value})
    with pytest.raises(BrokenAuditError, match="event 4: "):
        verify_export(lines)


def test_what_was_taken_out_or_put_elsewhere_is_found(lines: list[str]) -> None:
    with pytest.raises(BrokenAuditError, match="event 4: is missing; event 5 follows"):
        verify_export(lines[:3] + lines[4:])
    with pytest.raises(BrokenAuditError, match="event 4: is missing"):
        verify_export([*lines[:3], lines[4], lines[3], *lines[5:]])
    with pytest.raises(BrokenAuditError, match="event 1: is missing"):
        verify_export(lines[1:])


def test_what_was_cut_off_is_found_by_a_head_from_before(memory: Memory, lines: list[str]) -> None:
    head = memory.events[-1].digest
    assert verify_export(lines[:-2]).events == len(lines) - 2
    with pytest.raises(BrokenAuditError, match="none has that head"):
        verify_export(lines[:-2], head)
    memory.apply(9)
    assert verify_export([*lines, line(memory.events[-1])], head).events == len(lines) + 1


def test_a_chain_that_is_whole_but_cannot_be_is_found() -> None:
    """Who can write hashes can write a chain; what it adds up to must be possible still."""
    forged = Memory(Rules(capacity=2))
    forged.apply(1)
    before = forged.events[-1]
    forged.events.pop()
    tail_event = forged.events[-1]
    wrong = replace(before, from_status="WAITLIST", to_status="ACTIVE")
    wrong = replace(wrong, digest=digest_of(wrong, tail_event.digest))
    with pytest.raises(BrokenAuditError, match="event 2: cannot be"):
        verify_export([line(tail_event), line(wrong)])


@pytest.mark.parametrize("text", ["", "\n", "{}", "[]", "not json", '{"sequence": 1}'])
def test_what_is_no_audit_is_told(text: str) -> None:
    with pytest.raises(NotAnAuditError):
        verify_export([text])


def test_a_digest_that_is_none_is_told(lines: list[str]) -> None:
    lines[0] = json.dumps(json.loads(lines[0]) | {"digest": "zz"})
    with pytest.raises(NotAnAuditError, match="line 1 "):
        verify_export(lines)
