"""What must hold of an opening after every commit, told from its rows and its audit."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from shortlist.domain.hiring.audit import start_of_chain, verify
from shortlist.domain.hiring.opening import fills, takes_applications
from shortlist.domain.hiring.replay import Standing, apply, replay

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from shortlist.domain.hiring.audit import Event
    from shortlist.domain.hiring.draft import Opening
    from shortlist.domain.hiring.placement import OpeningId, Placement, PlacementId
    from testkit.hiring.memory import Memory


class Tables(Protocol):
    """An opening's rows and its audit, as one commit left them: in memory, or from Postgres."""

    @property
    def id(self) -> OpeningId: ...

    @property
    def opening(self) -> Opening: ...

    @property
    def placements(self) -> Mapping[PlacementId, Placement]: ...

    @property
    def events(self) -> Sequence[Event]: ...

    def line(self) -> list[Placement]:
        """Who waits, in the line's order."""
        ...

    def held(self) -> list[Placement]:
        """Who holds a place."""
        ...


def check(tables: Tables) -> None:
    """Check 1 to 6 of "What must hold", as far as they are about one opening."""
    capacity_is_kept(tables)
    no_free_place_beside_a_waiting_applicant(tables)
    the_line_is_in_order(tables)
    one_live_placement_each(tables)
    the_audit_tells_the_tables(tables)
    all_was_settled_before_each_act(tables)


def capacity_is_kept(tables: Tables) -> None:
    """Held never exceeds the capacity; lowered under those who are there, it never grows."""
    capacity = 0
    for before, event in pairwise([tables.events[0], *tables.events]):
        capacity = event.metadata.get("capacity", capacity)
        assert event.held <= max(capacity, before.held), f"above capacity: {event}"
        assert event.waiting >= 0, event


def no_free_place_beside_a_waiting_applicant(tables: Tables) -> None:
    opening = tables.opening
    if fills(opening.state, opening.rules, tables.events[-1].at):
        free = opening.rules.capacity - len(tables.held())
        waiting = len(tables.line())
        assert free <= 0 or not waiting, f"free places: {free}, beside {waiting} who wait"


def the_line_is_in_order(tables: Tables) -> None:
    """A total order, and the rule's own among those whom the company has not moved."""
    line = tables.line()
    assert all(a.key < b.key for a, b in pairwise(line))
    own = [p for p in line if not p.moved]
    if tables.opening.rules.order == "score":
        assert own == sorted(own, key=_by_score), "the line is not in the order of scores"
    else:
        joined = [tables.events[p.last_sequence - 1].type for p in own]
        undone = {"REINSTATED", "PROMOTION_UNDONE", "MOVED"}
        plain = [p for p, kind in zip(own, joined, strict=True) if kind not in undone]
        assert plain == sorted(plain, key=lambda p: p.last_sequence), "the line is out of order"


def _by_score(placement: Placement) -> tuple[int, bool, float, int]:
    score = placement.score
    return placement.misses, score is None, -(score or 0.0), placement.applied_sequence


def one_live_placement_each(tables: Tables) -> None:
    live = Counter(p.applicant_id for p in tables.placements.values() if p.status != "INACTIVE")
    twice = [applicant for applicant, number in live.items() if number > 1]
    assert not twice, f"more than one live application: applicants {twice}"


def the_audit_tells_the_tables(tables: Tables) -> None:
    """The fold of the events is the tables, and their chain is whole."""
    verify(start_of_chain(tables.id), tables.events)
    now = replay(tables.id, tables.events)
    for placement_id, placement in now.placements.items():
        assert tables.placements.get(placement_id) == placement, "the audit tells another placement"
    assert now.placements.keys() == tables.placements.keys(), "the audit tells other placements"
    assert now.opening == tables.opening, "the audit tells another opening"
    assert (now.held, now.waiting) == (len(tables.held()), len(tables.line()))
    assert [e.sequence for e in tables.events] == list(range(1, len(tables.events) + 1)), "a gap"
    assert all(a.at <= b.at for a, b in pairwise(tables.events)), "time ran backwards"
    assert all(e.at.microsecond % 1000 == 0 for e in tables.events)


def all_was_settled_before_each_act(tables: Tables) -> None:
    """When an act began, nothing was overdue, and no place was free beside one who waited."""
    standing = Standing(tables.id)
    offers: dict[PlacementId, dt.datetime] = {}
    act = None
    for event in tables.events:
        if not _is_of_time(event) and (act is None or act != act_of(event)):
            _is_settled(standing, offers, event)
        act = act_of(event)
        apply(standing, event)
        _note_offer(offers, standing, event)


def _is_of_time(event: Event) -> bool:
    """Whether time alone caused it: a settling, or what an act before it had led to."""
    match event.type:
        case "DECAY_TRIGGERED":
            return True
        case "PROMOTED":
            return act_of(event) is None
        case "WITHDRAWN":
            return event.metadata.get("cause") == "ENDED"
        case "CLOSED":
            return "closesAt" in event.metadata
        case _:
            return False


def act_of(event: Event) -> str | None:
    """Which act of the company an event belongs to: one may have several events."""
    found: str | None = event.metadata.get("actionId") or event.metadata.get("undoes")
    return found


def _is_settled(
    standing: Standing, offers: Mapping[PlacementId, dt.datetime], event: Event
) -> None:
    opening = standing.opening
    if opening is None or opening.state == "ended":
        return
    overdue = [placement_id for placement_id, until in offers.items() if until < event.at]
    assert not overdue, f"overdue: {overdue} when {event} happened"
    if fills(opening.state, opening.rules, event.at):
        free = opening.rules.capacity - standing.held
        assert free <= 0 or not standing.waiting, f"free places: {free}, when {event} happened"
    if event.type == "APPLIED":
        assert takes_applications(opening.state, opening.rules, event.at), event


def _note_offer(offers: dict[PlacementId, dt.datetime], standing: Standing, event: Event) -> None:
    if event.placement_id is not None:
        deadline = standing.placements[event.placement_id].deadline
        if deadline is None:
            offers.pop(event.placement_id, None)
        else:
            offers[event.placement_id] = deadline


def the_past_is_told(memory: Memory, when: dt.datetime) -> None:
    """The fold of the events up to a time is what was committed then."""
    before = [placements for time, placements in memory.commits if time <= when]
    told = replay(memory.id, memory.events, as_of=when)
    assert told.placements == (before[-1] if before else {})


def nothing_is_overdue(tables: Tables, now: dt.datetime) -> None:
    """Right after an act or a settling, at ``now``, no offer is older than its deadline."""
    assert all(p.deadline is None or p.deadline >= now for p in tables.held())
