"""How long a server asks its clients to wait: the ``Retry-After`` header (RFC 9110, 10.2.3).

A date is read by the clock of the server that sent it (its ``Date`` header), never by ours.
Whatever it says is bounded both ways: no wait at all would be a loop of requests, and one odd
header must not stop a client for hours.
"""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping


def retry_after_seconds(
    headers: Mapping[str, str],
    *,
    default_seconds: float,
    least_seconds: float,
    longest_seconds: float,
) -> float:
    """Read the seconds to wait of ``retry-after-ms`` or ``retry-after``; else ``default_seconds``.

    ``headers`` are found by names in lower case. The answer is between ``least_seconds`` and
    ``longest_seconds``, whatever the server says.
    """
    seconds = _milliseconds(headers.get("retry-after-ms"))
    if seconds is None:
        seconds = _seconds(headers.get("retry-after"), server_time(headers))
    if seconds is None:
        seconds = default_seconds
    return min(max(seconds, least_seconds), longest_seconds)


def server_time(headers: Mapping[str, str]) -> dt.datetime | None:
    """Read when the server answered, by its own clock; None when it does not say."""
    return _date(headers.get("date"))


def _milliseconds(value: str | None) -> float | None:
    number = _number(value)
    return None if number is None else number / 1000


def _seconds(value: str | None, now: dt.datetime | None) -> float | None:
    number = _number(value)
    if number is not None:
        return number
    until = _date(value)
    return None if until is None or now is None else (until - now).total_seconds()


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _date(value: str | None) -> dt.datetime | None:
    try:
        date = parsedate_to_datetime(value or "")
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return date if date.tzinfo is not None else None  # without its zone it is no moment
