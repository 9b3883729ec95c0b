"""The checker of "What must hold" sees each of the wrongs that it is there for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from shortlist.domain.hiring import acts
from shortlist.domain.hiring.audit import BrokenAuditError
from shortlist.domain.hiring.draft import Draft
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import ApplicantId, PlacementId
from testkit.hiring import must_hold
from testkit.hiring.memory import Memory, at

if TYPE_CHECKING:
    from collections.abc import Callable

    from shortlist.domain.hiring.draft import Locked


def opening(**rules: Any) -> Memory:
    """An opening of one place, and two who wait."""
    memory = Memory(replace(Rules(1), **rules))
    for number in range(1, 4):
        memory.clock = at(number)
        memory.apply(number)
    return memory


def change(memory: Memory, applicant: int, **fields: Any) -> None:
    placement = memory.named(applicant)
    memory.placements[placement.id] = replace(placement, **fields)


def a_place_beyond_the_capacity(memory: Memory) -> None:
    memory.events[-1] = replace(memory.events[-1], held=2)


def a_free_place_beside_the_line(memory: Memory) -> None:
    memory.opening = replace(memory.opening, rules=Rules(2))


def another_order(memory: Memory) -> None:
    second, third = memory.line()
    change(memory, 2, key=replace(third.key, placement_id=second.id))
    change(memory, 3, key=replace(second.key, placement_id=third.id))


def two_live_applications(memory: Memory) -> None:
    change(memory, 3, applicant_id=2)


def another_placement(memory: Memory) -> None:
    change(memory, 2, misses=1)


def one_placement_more(memory: Memory) -> None:
    memory.placements[PlacementId(9)] = replace(
        memory.named(1), applicant_id=ApplicantId(9), status="INACTIVE"
    )


def another_version(memory: Memory) -> None:
    memory.opening = replace(memory.opening, version=2)


WRONGS: dict[Callable[[Memory], None], str] = {
    a_place_beyond_the_capacity: "above capacity",
    a_free_place_beside_the_line: "free places: 1, beside 2",
    another_order: "out of order",
    two_live_applications: "more than one live",
    another_placement: "another placement",
    one_placement_more: "other placements",
    another_version: "another opening",
}


@pytest.mark.parametrize("wrong", WRONGS, ids=lambda wrong: wrong.__name__)
def test_off_switch_a_wrong_in_the_tables_is_seen(wrong: Callable[[Memory], None]) -> None:
    memory = opening()
    must_hold.check(memory)
    wrong(memory)
    with pytest.raises(AssertionError, match=WRONGS[wrong]):
        must_hold.check(memory)


def test_off_switch_a_missing_event_is_seen() -> None:
    memory = opening()
    del memory.events[2]
    with pytest.raises(BrokenAuditError, match="is missing"):
        must_hold.the_audit_tells_the_tables(memory)


def settles_nothing(locked: Locked) -> tuple[Draft, bool]:
    return Draft(locked), False


@pytest.fixture
def unsettled(monkeypatch: pytest.MonkeyPatch) -> None:
    """No act settles what is overdue before it does its own."""
    monkeypatch.setattr(acts, "settle", settles_nothing)


@pytest.mark.usefixtures("unsettled")
def test_off_switch_an_act_that_profits_from_a_deadline_that_has_passed_is_seen() -> None:
    memory = opening(confirm="everyone", ack_window_seconds=10)
    memory.clock = at(60)
    memory.apply(4)
    with pytest.raises(AssertionError, match="overdue"):
        must_hold.all_was_settled_before_each_act(memory)
    with pytest.raises(AssertionError):
        must_hold.nothing_is_overdue(memory, memory.now)


@pytest.mark.usefixtures("unsettled")
def test_off_switch_a_newcomer_who_passes_the_line_is_seen() -> None:
    memory = opening(fill_from=at(30))
    memory.clock = at(60)
    memory.apply(4)
    with pytest.raises(AssertionError, match="free places: 1, when"):
        must_hold.all_was_settled_before_each_act(memory)


@pytest.mark.usefixtures("unsettled")
def test_off_switch_an_application_after_the_end_is_seen() -> None:
    memory = opening(closes_at=at(30))
    memory.clock = at(60)
    memory.apply(4)
    with pytest.raises(AssertionError, match="APPLIED"):
        must_hold.all_was_settled_before_each_act(memory)
