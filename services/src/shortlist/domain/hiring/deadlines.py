"""Until when an offer can be acknowledged: a window of seconds that runs only in answer hours.

A window runs at the instants whose local time is within the hours, on the days that are listed. So
an hour that is missing in spring is not counted, and an hour that comes twice in autumn counts
twice; a day that is not listed, and one that a zone leaves out altogether, is closed from end to
end.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)

DAY_MINUTES = 24 * 60
_STRETCH = dt.timedelta(hours=6)
"""Two changes of a zone's offset are further apart: a look at both ends finds each."""


@dataclass(frozen=True, slots=True)
class AnswerHours:
    """When windows run: on these days of a zone, from a minute of the day to another.

    ``from_minute`` < ``to_minute``, both of local time since midnight, 0 to 1440.
    """

    zone: str
    days: frozenset[Day]
    from_minute: int
    to_minute: int

    @property
    def seconds_in_a_week(self) -> int:
        """How long windows run in a week without a change of the offset."""
        return len(self.days) * (self.to_minute - self.from_minute) * 60


def iso(time: dt.datetime) -> str:
    """Return a time as the contract writes it: in UTC, with milliseconds and ``Z``."""
    return time.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_CLOCK = re.compile(r"(\d\d):([0-5]\d)")


def minute_of(clock: str) -> int:
    """Return the minute of the day of ``HH:MM``; ``24:00`` is the end of it.

    Raises:
        ValueError: it is no time of a day.
    """
    match = _CLOCK.fullmatch(clock)
    minute = int(match[1]) * 60 + int(match[2]) if match else -1
    if not 0 <= minute <= DAY_MINUTES:
        raise ValueError(f"{clock!r} is not a time from 00:00 to 24:00")
    return minute


def clock_of(minute: int) -> str:
    """Return ``HH:MM`` of a minute of the day."""
    return f"{minute // 60:02}:{minute % 60:02}"


def deadline(now: dt.datetime, window_seconds: int, hours: AnswerHours | None) -> dt.datetime:
    """Return the last instant at which an offer made at ``now`` can be acknowledged, in UTC.

    Args:
        now: aware, in UTC.
        window_seconds: how long the window runs, 1 or more.
        hours: when it runs; None: always.
    """
    left = dt.timedelta(seconds=window_seconds)
    if hours is None:
        return now + left
    for start, end in running(now, hours):
        if left <= end - start:
            return start + left
        left -= end - start
    raise AssertionError("running never ends")


def running(now: dt.datetime, hours: AnswerHours) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    """Yield the intervals [start, end) in which windows run, in UTC, from ``now`` on for ever."""
    start = now
    while True:
        for end, offset in _stretches(hours.zone, start, start + _STRETCH):
            yield from _within(start, end, offset, hours)
            start = end


def _within(
    start: dt.datetime, end: dt.datetime, offset: dt.timedelta, hours: AnswerHours
) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    """Yield the parts of [start, end) within the hours; its offset from UTC does not change."""
    local_start, local_end = start + offset, end + offset
    day = local_start.replace(hour=0, minute=0, second=0, microsecond=0)
    while day < local_end:
        if DAYS[day.weekday()] in hours.days:
            opens = max(local_start, day + dt.timedelta(minutes=hours.from_minute))
            closes = min(local_end, day + dt.timedelta(minutes=hours.to_minute))
            if opens < closes:
                yield opens - offset, closes - offset
        day += dt.timedelta(days=1)


def _stretches(
    zone: str, start: dt.datetime, end: dt.datetime
) -> Iterator[tuple[dt.datetime, dt.timedelta]]:
    """Yield (end, offset) of each part of [start, end) in which the offset does not change."""
    before, after = _offset(zone, start), _offset(zone, end)
    if before == after:
        yield end, before
        return
    low, high = math.floor(start.timestamp()), math.ceil(end.timestamp())
    while high - low > 1:  # offsets change at full seconds
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, _at(middle)) == before else (low, middle)
    change = _at(high)
    yield change, before
    yield end, after


def _at(epoch_seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch_seconds, dt.UTC)


def _offset(zone: str, instant: dt.datetime) -> dt.timedelta:
    """Return a zone's offset from UTC at an instant."""
    return instant.astimezone(_zone(zone)).utcoffset() or dt.timedelta()


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
