"""The loads of the scaling experiment: when applications arrive, and how long each takes.

Both are drawn before anything runs, from the load's name and the seed alone. So every policy
meets the very same applications, and differences between policies are not differences in luck.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.worker.scorers.simulated import draw_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

HORIZON_SECONDS = 2400.0


@dataclass(frozen=True, slots=True)
class Setup:
    """What a load meets: the workers' shape, the same for every policy. Times in seconds."""

    concurrency: int = 10
    mean_service_seconds: float = 1.5
    service_cv: float = 0.5
    """Standard deviation ÷ mean of the lognormal service time."""
    start_seconds: tuple[float, float] = (4.0, 8.0)
    """A worker is ready this long after it was asked for, uniformly between the two."""
    drain_timeout_seconds: float = 60.0
    max_replicas: int = 30
    overhead_per_worker: int = 1


@dataclass(frozen=True, slots=True)
class Load:
    """Arrivals by a rate that varies with time: a Poisson process, thinned."""

    name: str
    rate: Callable[[float], float]
    """Applications per second at a second of the run."""
    peak_rate: float
    setup: Setup = Setup()
    horizon_seconds: float = HORIZON_SECONDS


@dataclass(frozen=True, slots=True)
class Trace:
    """One drawing of a load: arrival times in order, and each one's service time, in seconds."""

    arrivals: list[float]
    service_seconds: list[float]


def draw(load: Load, seed: int) -> Trace:
    """Draw a load's applications (Lewis and Shedler's thinning, 1979)."""
    chance = random.Random(f"{load.name}/{seed}")
    setup = load.setup
    trace = Trace([], [])
    now = chance.expovariate(load.peak_rate)
    while now < load.horizon_seconds:
        if chance.random() * load.peak_rate < load.rate(now):
            trace.arrivals.append(now)
            seconds = draw_seconds(setup.mean_service_seconds, setup.service_cv, chance)
            trace.service_seconds.append(seconds)
        now += chance.expovariate(load.peak_rate)
    return trace


def steady(per_second: float) -> Callable[[float], float]:
    """Keep the same rate all the time."""
    return lambda _: per_second


def bursts(
    base: float, peak: float, *, every_seconds: float, length_seconds: float, first_at: float
) -> Callable[[float], float]:
    """Keep ``base``, and every so often ``peak`` for a while."""

    def rate(now: float) -> float:
        since = (now - first_at) % every_seconds
        return peak if now >= first_at and since < length_seconds else base

    return rate


def ramp(start: float, end: float, *, seconds: float = HORIZON_SECONDS) -> Callable[[float], float]:
    """Follow a straight line from ``start`` to ``end``, and then stay at ``end``."""
    return lambda now: start + (end - start) * min(1.0, now / seconds)


def wave(low: float, high: float, *, period_seconds: float) -> Callable[[float], float]:
    """Follow a sine between ``low`` and ``high``, from the bottom up: a day, shortened."""
    middle, swing = (low + high) / 2, (high - low) / 2
    return lambda now: middle - swing * math.cos(2 * math.pi * now / period_seconds)


LOADS = (
    Load(
        "4/s with 60 s bursts of 60/s",
        bursts(4, 60, every_seconds=600, length_seconds=60, first_at=150),
        60,
    ),
    Load(
        "idle, 2 min of 20/s",
        bursts(0, 20, every_seconds=600, length_seconds=120, first_at=150),
        20,
    ),
    Load(
        "8/s with 10 s spikes of 80/s",
        bursts(8, 80, every_seconds=120, length_seconds=10, first_at=70),
        80,
    ),
    Load("steady 20/s", steady(20), 20),
    Load("ramp 2→50/s", ramp(2, 50), 50),
)
"""The five loads of ``docs/autoscaling-figures.md``."""
