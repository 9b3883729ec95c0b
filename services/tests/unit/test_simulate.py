from __future__ import annotations

import random

import pytest

from shortlist.simulate import Latencies


def test_percentiles_are_within_three_percent() -> None:
    latencies, chance = Latencies(), random.Random(3)
    seconds = [chance.lognormvariate(-3, 1.5) for _ in range(20_000)]
    for value in seconds:
        latencies.record(value)
    seconds.sort()
    for percent in (50, 90, 99):
        exact = seconds[percent * len(seconds) // 100 - 1]
        assert latencies.percentile(percent) == pytest.approx(exact, rel=0.03)
    assert latencies.count == 20_000
    assert latencies.longest == seconds[-1]
    assert latencies.percentile(100) <= latencies.longest


def test_what_is_kept_does_not_grow_with_what_is_measured() -> None:
    latencies = Latencies()
    for n in range(100_000):
        latencies.record(n / 1000)
    assert len(latencies._buckets) < 1000


def test_nothing_measured_is_no_time() -> None:
    assert Latencies().percentile(99) == 0
