"""How far back the leader looks: not where all was settled, and at all once a minute."""

from __future__ import annotations

import datetime as dt

from shortlist.maintenance.agents.hiring.floor import EVER, Floor

NOW = dt.datetime(2026, 11, 27, 12, 0, tzinfo=dt.UTC)


def test_a_new_leader_looks_at_all() -> None:
    assert Floor().begin_turn() == EVER


def test_it_looks_again_at_what_may_have_been_committed_late() -> None:
    floor = Floor()
    floor.nothing_is_due(NOW)
    assert NOW - dt.timedelta(minutes=1) < floor.begin_turn() < NOW


def test_once_a_minute_it_looks_at_all() -> None:
    floor = Floor()
    floor.nothing_is_due(NOW)
    floor._looked_at_all -= 61
    assert floor.begin_turn() == EVER
    floor.nothing_is_due(NOW)
    assert floor.begin_turn() != EVER


def test_it_follows_a_clock_that_was_set_back() -> None:
    floor = Floor()
    floor.nothing_is_due(NOW)
    floor.nothing_is_due(NOW - dt.timedelta(hours=1))
    assert floor.begin_turn() < NOW - dt.timedelta(hours=1)
