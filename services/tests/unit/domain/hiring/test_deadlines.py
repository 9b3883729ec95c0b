from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.domain.hiring.deadlines import (
    DAYS,
    AnswerHours,
    clock_of,
    deadline,
    iso,
    minute_of,
    running,
)

MINUTE = dt.timedelta(minutes=1)
WEEKDAYS = frozenset(DAYS[:5])
OFFICE = AnswerHours("Europe/Berlin", WEEKDAYS, 9 * 60, 17 * 60)


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def minute_by_minute(now: dt.datetime, window_seconds: int, hours: AnswerHours) -> dt.datetime:
    """The slow reference: look at the local clock once for each minute, and count.

    In the zones below every offset is of full minutes, so nothing changes within one.
    """
    zone = ZoneInfo(hours.zone)
    left = dt.timedelta(seconds=window_seconds)
    while True:
        local = now.astimezone(zone)
        following = now.replace(second=0, microsecond=0) + MINUTE
        minute = local.hour * 60 + local.minute
        if DAYS[local.weekday()] in hours.days and hours.from_minute <= minute < hours.to_minute:
            if left <= following - now:
                return now + left
            left -= following - now
        now = following


@st.composite
def answer_hours(draw: st.DrawFn) -> AnswerHours:
    zone = draw(
        st.sampled_from(
            [
                "UTC",
                "Europe/Berlin",
                "America/New_York",
                "America/St_Johns",  # an offset of half an hour
                "Australia/Lord_Howe",  # changes by half an hour
                "Pacific/Apia",  # left out 2011-12-30
                "Africa/Casablanca",  # another offset during Ramadan
                "Asia/Kathmandu",
            ]
        )
    )
    days = draw(st.frozensets(st.sampled_from(DAYS), min_size=1))
    start = draw(st.integers(0, 24 * 60 - 5))
    end = draw(st.integers(start + 5, 24 * 60))
    return AnswerHours(zone, days, start, end)


NEAR_CHANGES = st.sampled_from(
    [
        "2026-03-29T01:00",  # Berlin: 02:00 → 03:00
        "2026-10-25T01:00",  # Berlin: 03:00 → 02:00
        "2026-03-08T07:00",  # New York, St John's
        "2026-11-01T06:00",
        "2026-04-04T15:00",  # Lord Howe
        "2026-10-03T15:30",
        "2011-12-30T10:00",  # Apia leaves a day out
        "2026-02-15T02:00",  # Casablanca
        "2026-03-22T02:00",
        "2028-02-29T12:00",
    ]
)


@given(
    hours=answer_hours(),
    near=NEAR_CHANGES,
    offset_milliseconds=st.integers(-3 * 86_400_000, 86_400_000),
    window_seconds=st.integers(1, 5 * 3600),
)
@settings(max_examples=150, deadline=None)
def test_a_window_ends_when_counting_minutes_says_so(
    hours: AnswerHours, near: str, offset_milliseconds: int, window_seconds: int
) -> None:
    now = utc(near) + dt.timedelta(milliseconds=offset_milliseconds)
    window_seconds = min(window_seconds, 4 * hours.seconds_in_a_week)
    expected = minute_by_minute(now, window_seconds, hours)
    assert deadline(now, window_seconds, hours) == expected


@pytest.mark.parametrize(
    ("now", "window_minutes", "hours", "expected"),
    [
        # inside the hours, and over the night, and over the weekend (2026-05-08 is a Friday)
        ("2026-05-06T08:00", 60, OFFICE, "2026-05-06T09:00"),
        ("2026-05-06T14:30", 60, OFFICE, "2026-05-07T07:30"),
        ("2026-05-08T14:30", 60, OFFICE, "2026-05-11T07:30"),
        ("2026-05-09T12:00", 60, OFFICE, "2026-05-11T08:00"),
        # a window that is used up at closing time ends then, not at the next opening
        ("2026-05-06T14:00", 60, OFFICE, "2026-05-06T15:00"),
        # the hour that is missing: 01:30 to 03:30 is one hour long on 2026-03-29
        (
            "2026-03-28T23:00",
            60,
            AnswerHours("Europe/Berlin", frozenset(DAYS), 90, 210),
            "2026-03-29T01:30",
        ),
        # hours within the missing one: that day is closed
        (
            "2026-03-29T00:00",
            30,
            AnswerHours("Europe/Berlin", frozenset(DAYS), 120, 180),
            "2026-03-30T00:30",
        ),
        # the hour that comes twice: 02:15 to 02:45 runs twice on 2026-10-25
        (
            "2026-10-25T00:00",
            60,
            AnswerHours("Europe/Berlin", frozenset(DAYS), 135, 165),
            "2026-10-25T01:45",
        ),
        # Apia had no Friday, 2011-12-30
        (
            "2011-12-30T00:00",
            60,
            AnswerHours("Pacific/Apia", frozenset({"fri"}), 600, 720),
            "2012-01-05T21:00",
        ),
    ],
)
def test_windows_by_table(now: str, window_minutes: int, hours: AnswerHours, expected: str) -> None:
    assert deadline(utc(now), window_minutes * 60, hours) == utc(expected)


def test_without_hours_a_window_runs_always() -> None:
    assert deadline(utc("2026-03-29T00:59:59"), 300, None) == utc("2026-03-29T01:04:59")


def test_the_last_day_of_a_window_of_ten_years_is_found() -> None:
    hours = AnswerHours("Europe/Berlin", frozenset({"mon"}), 540, 541)
    end = deadline(utc("2026-05-04T00:00"), 520 * 60, hours)
    assert end == utc("2036-04-14T07:01")


def test_running_time_never_overlaps_and_never_goes_back() -> None:
    intervals = running(utc("2026-10-24T00:00"), AnswerHours("Europe/Berlin", WEEKDAYS, 0, 1440))
    last = utc("2026-10-24T00:00")
    for _, (start, end) in zip(range(50), intervals, strict=False):
        assert last <= start < end
        last = end


@pytest.mark.parametrize(("clock", "minute"), [("00:00", 0), ("09:30", 570), ("24:00", 1440)])
def test_clocks_are_read_and_written(clock: str, minute: int) -> None:
    assert minute_of(clock) == minute
    assert clock_of(minute) == clock


@pytest.mark.parametrize("clock", ["9:30", "24:01", "12:60", "", "aa:bb", "12:30:00", "-1:00"])
def test_what_is_no_clock_is_refused(clock: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        minute_of(clock)


def test_times_are_written_in_utc_with_milliseconds() -> None:
    zone = dt.timezone(dt.timedelta(hours=2))
    assert iso(dt.datetime(2026, 5, 4, 12, tzinfo=zone)) == "2026-05-04T10:00:00.000Z"
