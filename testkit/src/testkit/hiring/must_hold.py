"""What must hold of an opening after every commit, told from its rows and its audit."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from shortlist.domain.hiring.audit import start_of_chain, verify
from shortlist.domain.hiring.replay import replay

if TYPE_CHECKING:
    import datetime as dt

    from shortlist.domain.hiring.placement import Placement
    from testkit.hiring.memory import Memory


def check(memory: Memory) -> None:
    """Check 1 to 6 of "What must hold", as far as they are about one opening."""
    capacity_is_kept(memory)
    no_free_place_beside_a_waiting_applicant(memory)
    the_line_is_in_order(memory)
    one_live_placement_each(memory)
    the_audit_tells_the_tables(memory)
    nothing_is_overdue(memory)


def capacity_is_kept(memory: Memory) -> None:
    """Held never exceeds the capacity; lowered under those who are there, it never grows."""
    capacity = 0
    for before, event in pairwise([memory.events[0], *memory.events]):
        capacity = event.metadata.get("capacity", capacity)
        assert event.held <= max(capacity, before.held), event
        assert event.waiting >= 0, event


def no_free_place_beside_a_waiting_applicant(memory: Memory) -> None:
    opening = memory.opening
    fills = opening.rules.fill_from is None or memory.events[-1].at >= opening.rules.fill_from
    if fills and opening.state != "ended":
        free = opening.rules.capacity - len(memory.held())
        assert free <= 0 or not memory.line()


def the_line_is_in_order(memory: Memory) -> None:
    """A total order, and the rule's own among those whom the company has not moved."""
    line = memory.line()
    assert all(a.key < b.key for a, b in pairwise(line))
    own = [p for p in line if not p.moved]
    if memory.opening.rules.order == "score":
        assert own == sorted(own, key=_by_score)
    else:
        joined = [memory.events[p.last_sequence - 1].type for p in own]
        undone = {"REINSTATED", "PROMOTION_UNDONE", "MOVED"}
        plain = [p for p, kind in zip(own, joined, strict=True) if kind not in undone]
        assert plain == sorted(plain, key=lambda p: p.last_sequence)


def _by_score(placement: Placement) -> tuple[int, bool, float, int]:
    score = placement.score
    return placement.misses, score is None, -(score or 0.0), placement.applied_sequence


def one_live_placement_each(memory: Memory) -> None:
    live = Counter(p.applicant_id for p in memory.placements.values() if p.status != "INACTIVE")
    assert all(number == 1 for number in live.values())


def the_audit_tells_the_tables(memory: Memory) -> None:
    """The fold of the events is the tables, and their chain is whole."""
    verify(start_of_chain(memory.id), memory.events)
    now = replay(memory.id, memory.events)
    assert now.placements == memory.placements
    assert now.opening == memory.opening
    assert (now.held, now.waiting) == (len(memory.held()), len(memory.line()))
    assert [e.sequence for e in memory.events] == list(range(1, len(memory.events) + 1))
    assert all(a.at <= b.at for a, b in pairwise(memory.events))
    assert all(e.at.microsecond % 1000 == 0 for e in memory.events)


def the_past_is_told(memory: Memory, when: dt.datetime) -> None:
    """The fold of the events up to a time is what was committed then."""
    before = [placements for time, placements in memory.commits if time <= when]
    told = replay(memory.id, memory.events, as_of=when)
    assert told.placements == (before[-1] if before else {})


def nothing_is_overdue(memory: Memory) -> None:
    """Right after an act or a settling no offer is older than its deadline."""
    now = memory.now
    assert all(p.deadline is None or p.deadline >= now for p in memory.held())
