"""Each guard against clocks that needs no server: what holds with it fails without it."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.line.age import HeadAge
from shortlist.domain.line.application import MOST_AHEAD_MILLISECONDS, lowest_id_at, milliseconds_of
from shortlist.domain.sizing.fleet import StartTimes
from shortlist.http.retry_after import retry_after_seconds
from shortlist.ingest.ids import Ids
from shortlist.storage.redis.heartbeats import Heartbeat, Pulse
from testkit.faults.unguarding import without

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
NOW_MILLISECONDS = int(NOW.timestamp() * 1000)
STEPS_SECONDS = (3600.0, -3600.0, 8_640_000.0, -8_640_000.0)
HUNDRED_DAYS_MILLISECONDS = 8_640_000_000


def beat(at: float) -> Heartbeat:
    return Heartbeat(
        worker_id="w", at=at, started_at=0, ready_at=0, host="h", pid=1, mode="perJob",
        concurrency=1, in_flight=0, grant=1, open_connections=1, epoch=0, draining=False,
        busy_seconds=0, completed=0, failed=0, retried=0,
    )  # fmt: skip


def a_worker_lives_whatever_its_hosts_clock_says() -> None:
    for step in STEPS_SECONDS:
        pulse = Pulse()
        assert all(pulse.live([beat(time.time() + step + n)], 100.0 + n) for n in range(9))


def a_line_grows_no_older_by_a_step_of_redis_clock() -> None:
    for step in STEPS_SECONDS:
        age, entry = HeadAge(), (NOW_MILLISECONDS, 0)
        age.see(entry, NOW.timestamp() + 1, 100.0)
        assert age.see(entry, NOW.timestamp() + 2 + step, 101.0) == pytest.approx(2)


def no_start_takes_a_hundred_days() -> None:
    starts = StartTimes()
    starts.see({"a": 2.0, "b": 8_640_000.0, "c": -3600.0})
    assert starts.p90_seconds() == 2.0


def an_id_is_of_postgres_time() -> None:
    ids = Ids()
    ids.learn(NOW, None)
    assert milliseconds_of(ids.next()) == pytest.approx(NOW_MILLISECONDS, abs=60_000)


def ids_only_grow() -> None:
    ids = Ids()
    ids.learn(NOW, None)
    newest = ids.next()
    for step in STEPS_SECONDS:
        another = Ids()  # a process that has just started
        another.learn(NOW + dt.timedelta(seconds=step), newest)
        assert milliseconds_of(another.next()) >= milliseconds_of(newest)


def an_odd_id_is_not_followed() -> None:
    ids = Ids()
    odd = lowest_id_at(NOW_MILLISECONDS + MOST_AHEAD_MILLISECONDS + HUNDRED_DAYS_MILLISECONDS)
    ids.learn(NOW, odd)
    assert ids.next() < odd


def a_date_is_read_by_the_clock_that_wrote_it() -> None:
    for year in (2025, 2026, 2027):
        said = {"date": f"Sun, 22 Nov {year} 12:00:00 GMT"}
        until = {"retry-after": f"Sun, 22 Nov {year} 12:00:30 GMT"}
        assert waits(said | until) == 30


def waits(headers: dict[str, str]) -> float:
    return retry_after_seconds(
        headers, default_seconds=15.0, least_seconds=1.0, longest_seconds=300.0
    )


CHECKS: dict[str, Callable[[], None]] = {
    "heartbeats_change": a_worker_lives_whatever_its_hosts_clock_says,
    "head_is_no_older": a_line_grows_no_older_by_a_step_of_redis_clock,
    "bounded_starts": no_start_takes_a_hundred_days,
    "ids_of_postgres": an_id_is_of_postgres_time,
    "ids_only_grow": ids_only_grow,
    "odd_ids_are_not_followed": an_odd_id_is_not_followed,
    "date_of_the_answer": a_date_is_read_by_the_clock_that_wrote_it,
}


@pytest.mark.parametrize("guard", CHECKS)
def test_it_holds(guard: str) -> None:
    CHECKS[guard]()


@pytest.mark.parametrize("guard", CHECKS)
def test_off_switch_it_does_not_hold_without_the_guard(guard: str) -> None:
    with without(guard), pytest.raises(AssertionError):
        CHECKS[guard]()
