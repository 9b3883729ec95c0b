from __future__ import annotations

import datetime as dt
from uuid import UUID

import pytest

from shortlist.domain.line.application import MOST_AHEAD_MILLISECONDS, lowest_id_at, milliseconds_of
from shortlist.ingest.ids import Ids

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
NOW_MILLISECONDS = int(NOW.timestamp() * 1000)
HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time passes, and this host's clock is of 1970."""
    monkeypatch.setattr("shortlist.ingest.ids.time.monotonic", lambda: 1000.0)
    monkeypatch.setattr("shortlist.ingest.ids.time.time_ns", lambda: 0)


def test_an_id_is_a_uuid_of_version_7_and_no_two_are_alike() -> None:
    ids = Ids()
    made = [ids.next() for _ in range(3000)]
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {UUID(int=lowest_id_at(0).int).variant}
    assert len(set(made)) == len(made)
    assert made == sorted(made)


def test_an_id_is_of_postgres_time_whatever_this_hosts_clock_says() -> None:
    ids = Ids()
    ids.learn(NOW, None)
    assert milliseconds_of(ids.next()) == NOW_MILLISECONDS


@pytest.mark.parametrize("step", [-HOUR, -100 * DAY, HOUR, 100 * DAY])
def test_ids_grow_over_any_step_of_postgres_clock(step: int) -> None:
    ids, another = Ids(), Ids()
    ids.learn(NOW, None)
    before = ids.next()
    stepped = NOW + dt.timedelta(milliseconds=step)
    ids.learn(stepped, before)
    another.learn(stepped, before)  # a process that has just started
    assert before < ids.next()
    assert milliseconds_of(another.next()) >= milliseconds_of(before)


def test_ids_follow_the_newest_that_there_is_but_no_odd_one() -> None:
    ids = Ids()
    ids.learn(NOW, lowest_id_at(NOW_MILLISECONDS + 100 * DAY))
    assert milliseconds_of(ids.next()) == NOW_MILLISECONDS + 100 * DAY
    odd = Ids()
    odd.learn(NOW, lowest_id_at(NOW_MILLISECONDS + MOST_AHEAD_MILLISECONDS + 1))
    assert milliseconds_of(odd.next()) == NOW_MILLISECONDS
