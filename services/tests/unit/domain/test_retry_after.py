from __future__ import annotations

import datetime as dt

import pytest

from shortlist.domain.retry_after import retry_after_seconds

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("-3", 0.0),
        ("1e9", 3600.0),
        ("Sun, 22 Nov 2036 12:00:30 GMT", 3600.0),
        ("inf", 15.0),
        ("nan", 15.0),
        ("Sun, 22 Nov 2026 12:00:30", 15.0),
        ("soon", 15.0),
        ("", 15.0),
        (None, 15.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(value: str | None, seconds: float) -> None:
    assert retry_after_seconds(value, NOW, default_seconds=15, longest_seconds=3600) == seconds
