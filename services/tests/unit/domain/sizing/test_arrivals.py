from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.domain.sizing.arrivals import WINDOWS_SECONDS, Arrivals, Sample, estimate, remember


def counted(per_second: list[int]) -> tuple[Sample, ...]:
    """Samples of a counter that grew by these, second by second."""
    samples: tuple[Sample, ...] = ()
    for second, total in enumerate(itertools.accumulate([0, *per_second])):
        samples = remember(samples, float(second), total)
    return samples


def poisson(rate: float, seconds: int, seed: int = 1) -> list[int]:
    chance = random.Random(seed)
    counts = [0] * seconds
    now = chance.expovariate(rate)
    while now < seconds:
        counts[int(now)] += 1
        now += chance.expovariate(rate)
    return counts


def test_a_steady_rate_is_taken_over_the_longest_window() -> None:
    found = estimate(counted([20] * 60))
    assert found == Arrivals(20.0, WINDOWS_SECONDS[-1])


def test_one_reading_says_nothing() -> None:
    assert estimate(()) == estimate((Sample(0.0, 5000),)) == Arrivals(0.0, 0.0)


def test_two_readings_are_enough_for_a_first_rate() -> None:
    assert estimate(counted([12])).rate == 12


def test_a_surge_is_seen_within_two_seconds() -> None:
    quiet = poisson(4, 60)
    assert estimate(counted([*quiet, 60])).rate > 30
    assert estimate(counted([*quiet, 60, 60])).rate == pytest.approx(60)


def test_a_lull_is_seen_within_two_seconds() -> None:
    busy = poisson(60, 60)
    assert estimate(counted([*busy, 4, 4])).rate == pytest.approx(4)


def test_a_surge_out_of_idleness_is_seen_in_its_first_second() -> None:
    assert estimate(counted([0] * 60 + [10])).rate == 10


def test_chance_alone_moves_a_steady_rate_little() -> None:
    counts = poisson(20, 2400)
    samples: tuple[Sample, ...] = ()
    rates = []
    for second, total in enumerate(itertools.accumulate(counts)):
        samples = remember(samples, float(second), total)
        if second > WINDOWS_SECONDS[-1]:
            rates.append(estimate(samples).rate)
    far = sum(abs(rate - 20) > 4 for rate in rates)
    assert far / len(rates) < 0.02


def test_steady_growth_is_looked_ahead_with() -> None:
    found = estimate(counted([20 + second // 2 for second in range(60)]))
    assert found.growth == pytest.approx(0.5, rel=0.1)
    assert found.ahead(8.0) == pytest.approx(20 + (60 + 8) / 2, rel=0.05)


def test_a_step_is_no_trend() -> None:
    for seconds in range(1, 60):
        assert estimate(counted([4] * 60 + [60] * seconds)).growth == 0


def test_a_spike_is_over_when_it_is_over() -> None:
    found = estimate(counted([8] * 60 + [80] * 10 + [8] * 5))
    assert found.rate == pytest.approx(8)


def test_shrinking_is_no_trend() -> None:
    found = estimate(counted([65 - second // 2 for second in range(60)]))
    assert found.growth == 0
    assert found.ahead(30.0) == found.rate


def test_the_noise_of_a_steady_rate_is_seldom_a_trend() -> None:
    trends = sum(estimate(counted(poisson(20, 40, seed))).growth > 0 for seed in range(200))
    assert trends <= 6  # 2.5 sigmas, one side: 0.6 % would be 1.2


def test_a_counter_that_began_anew_gives_no_negative_rate() -> None:
    samples = counted([20] * 30)
    samples = remember(samples, 31.0, 3)
    assert samples == (Sample(31.0, 3),)
    assert estimate(remember(samples, 32.0, 23)).rate == 20


def test_readings_that_come_late_are_counted_for_the_time_that_passed() -> None:
    samples: tuple[Sample, ...] = ()
    for at in (0.0, 1.0, 2.0, 12.0, 13.0):
        samples = remember(samples, at, int(at * 30))
    assert estimate(samples).rate == pytest.approx(30)


@given(st.lists(st.tuples(st.floats(0.01, 120), st.integers(0, 100_000)), min_size=1, max_size=80))
def test_any_history_gives_a_rate_between_none_and_the_most_that_was_counted(
    steps: list[tuple[float, int]],
) -> None:
    samples: tuple[Sample, ...] = ()
    now, total, most = 0.0, 0, 0.0
    for seconds, more in steps:
        now, total, most = now + seconds, total + more, max(most, more / seconds)
        samples = remember(samples, now, total)
    found = estimate(samples)
    assert 0 <= found.rate <= most * 1.001
    assert found.ahead(8.0) >= found.rate
    assert samples[-1].at - samples[0].at <= WINDOWS_SECONDS[-1] + max(s for s, _ in steps) + 0.1
