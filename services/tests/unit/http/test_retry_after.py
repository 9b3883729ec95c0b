from __future__ import annotations

import pytest

from shortlist.http.retry_after import retry_after_seconds

DATE = "Sun, 22 Nov 2026 12:00:00 GMT"
"""When the server answered, by its own clock."""


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("0", 1.0),
        ("0.0001", 1.0),
        ("-0", 1.0),
        ("-3", 1.0),
        ("-1e308", 1.0),
        ("1e9", 300.0),
        ("999999999", 300.0),
        ("9" * 400, 15.0),  # no number that a computer can have
        ("1e308", 300.0),
        ("inf", 15.0),
        ("-inf", 15.0),
        ("nan", 15.0),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 12:00:00 GMT", 1.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 1.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1.0),
        ("Sun, 22 Nov 2036 12:00:30 GMT", 300.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300.0),
        ("Fri, 31 Dec 99999 23:59:59 GMT", 15.0),
        ("Sun, 00 Foo 2026 25:61:61 GMT", 15.0),
        ("Sun, 22 Nov 2026 12:00:30", 15.0),
        ("2026-11-22T12:00:30Z", 15.0),
        ("soon", 15.0),
        ("\x00", 15.0),
        ("", 15.0),
        (None, 15.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded_both_ways(
    value: str | None, seconds: float
) -> None:
    headers = {"date": DATE} | ({} if value is None else {"retry-after": value})
    assert asked(headers) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("1500", 1.5), ("1", 1.0), ("-1", 1.0), ("1e12", 300.0), ("nan", 7.0), ("", 7.0), ("x", 7.0)],
)
def test_milliseconds_come_first_where_they_are_a_number(value: str, seconds: float) -> None:
    assert asked({"retry-after-ms": value, "retry-after": "7"}) == seconds


@pytest.mark.parametrize("date", [None, "", "yesterday", "Sun, 22 Nov 2026 12:00:00"])
def test_a_date_means_nothing_without_the_servers_own_clock(date: str | None) -> None:
    headers = {} if date is None else {"date": date}
    assert asked(headers | {"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}) == 15


def asked(headers: dict[str, str]) -> float:
    return retry_after_seconds(headers, default_seconds=15, least_seconds=1, longest_seconds=300)
