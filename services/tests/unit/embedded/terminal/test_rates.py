from __future__ import annotations

import pytest

from shortlist.embedded.terminal.rates import Rate, RecentHistogram, Total


def test_a_rate_is_the_growth_over_its_window() -> None:
    rate = Rate(window_seconds=5)
    assert rate.per_second == 0
    for second in range(20):
        rate.observe(float(second), 3 * second)
    assert rate.per_second == pytest.approx(3)


def test_a_rate_starts_anew_when_its_counter_was_reset() -> None:
    rate = Rate()
    for now, count in [(0.0, 100), (1.0, 110), (2.0, 0), (3.0, 4)]:
        rate.observe(now, count)
    assert rate.per_second == pytest.approx(4)


def test_what_a_gone_worker_counted_stays_counted() -> None:
    total = Total()
    total.observe({"a": 5, "b": 1})
    total.observe({"b": 3})
    total.observe({"b": 3, "c": 2})
    assert total.total == 10


def test_the_percentile_forgets_what_is_older_than_its_window() -> None:
    recent = RecentHistogram(window_seconds=60)
    recent.observe(0.0, {"w": [0, 5, 0]})
    recent.observe(61.0, {"w": [3, 5, 0]})
    assert recent.quantile(0.99, [1.0, 10.0]) == pytest.approx(0.99)
    recent.observe(200.0, {"w": [3, 5, 0]})
    assert recent.quantile(0.99, [1.0, 10.0]) is None
