from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shortlist.embedded.grants import Member, fair_shares, next_grants


def member(name: str = "w", *, granted: int = 2, wanted: int = 11, **more: int) -> Member:
    return Member(
        name, 2, wanted, granted, more.get("believed", granted), more.get("open", granted)
    )


def test_everybody_gets_what_it_wants_when_there_is_enough() -> None:
    assert fair_shares(100, [member("a"), member("b")]) == {"a": 11, "b": 11}


def test_a_small_budget_is_shared_evenly_and_what_one_does_not_want_goes_to_the_others() -> None:
    members = [member("a", wanted=3), member("b", wanted=50), member("c", wanted=50)]
    assert fair_shares(44, members) == {"a": 3, "b": 21, "c": 20}


def test_a_newcomer_grows_only_into_what_is_free() -> None:
    full, newcomer = member("full", granted=11), member("new", granted=2)
    assert next_grants(16, [full, newcomer]) == {"full": 8, "new": 5}
    obeyed = replace(full, granted=8, believed=8, open=8)
    grown = replace(newcomer, granted=5, believed=5, open=5)
    assert next_grants(16, [obeyed, grown]) == {"new": 8}


def test_a_shrunk_worker_that_has_not_obeyed_frees_nothing() -> None:
    slow = member("slow", granted=8, believed=11, open=11)
    assert next_grants(16, [slow, member("new", granted=5)]) == {}


def test_connections_of_the_dead_count_until_they_are_closed() -> None:
    assert next_grants(13, [member("w", granted=2)], held_by_others=11) == {}
    assert next_grants(13, [member("w", granted=2)], held_by_others=0) == {"w": 11}


def test_room_is_kept_for_workers_that_are_about_to_start() -> None:
    assert next_grants(13, [member("w", granted=2)], expected=4) == {"w": 9}


figures = st.integers(min_value=2, max_value=40)


@given(
    budget=st.integers(min_value=20, max_value=200),
    grants=st.lists(st.tuples(figures, figures, figures), min_size=1, max_size=10),
)
def test_granting_never_makes_the_sum_exceed_the_budget(
    budget: int, grants: list[tuple[int, int, int]]
) -> None:
    members = [
        Member(str(i), 2, wanted, granted, granted, open_)
        for i, (wanted, granted, open_) in enumerate(grants)
    ]
    before = sum(m.held for m in members)
    changed = next_grants(budget, members)
    after = sum(max(changed.get(m.worker_id, m.granted), m.believed, m.open) for m in members)
    assert after <= max(budget, before)
