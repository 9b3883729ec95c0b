"""How long a server asks its clients to wait: the ``Retry-After`` header (RFC 9110, 10.2.3)."""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt


def retry_after_seconds(
    value: str | None, now: dt.datetime, *, default_seconds: float, longest_seconds: float
) -> float:
    """Seconds to wait, from a number of them or a date; ``default_seconds`` without either."""
    seconds = _seconds(value or "", now)
    if seconds is None or not math.isfinite(seconds):
        return default_seconds
    return min(max(seconds, 0.0), longest_seconds)


def _seconds(value: str, now: dt.datetime) -> float | None:
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return (parsedate_to_datetime(value) - now).total_seconds()
    except (ValueError, TypeError):  # no date; a date without its zone
        return None
