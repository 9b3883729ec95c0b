"""Loads on which nothing was tuned: other service times, workers, starts, rates and ramps.

The policy's constants were chosen on the five loads of `loads.LOADS` and on first drafts of some of
these; the table's own seeds were never looked at while choosing. A row that is lost here stays.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from loadtest.simulation.loads import HORIZON_SECONDS, Load, Setup, bursts, ramp, steady, wave

if TYPE_CHECKING:
    from collections.abc import Callable


def trapezoids(low: float, high: float, *, ramp_seconds: float) -> Callable[[float], float]:
    """Up, level, down, level, each for ``ramp_seconds``; over and over."""

    def rate(now: float) -> float:
        part, into = divmod(now % (4 * ramp_seconds), ramp_seconds)
        up = into / ramp_seconds
        return low + (high - low) * (up, 1.0, 1 - up, 0.0)[int(part)]

    return rate


def jumps(rates: tuple[float, ...], *, mean_seconds: float) -> Callable[[float], float]:
    """Draw a rate anew at random times (a Markov-modulated process), the same for every seed."""
    chance = random.Random("jumps")
    changes: list[tuple[float, float]] = []
    now = 0.0
    while now < HORIZON_SECONDS:
        changes.append((now, chance.choice(rates)))
        now += chance.expovariate(1 / mean_seconds)

    def rate(at: float) -> float:
        return next(value for since, value in reversed(changes) if since <= at)

    return rate


_BURSTS = bursts(4, 60, every_seconds=600, length_seconds=60, first_at=150)
_SLOW_MODEL = Setup(mean_service_seconds=12, service_cv=1.0)

HELD_OUT = (
    Load(
        "12 s each, CV 1: 1/s, 2 min of 8/s",
        bursts(1, 8, every_seconds=600, length_seconds=120, first_at=150),
        8,
        _SLOW_MODEL,
    ),
    Load("12 s each, CV 1: ramp 0.5→12/s", ramp(0.5, 12), 12, _SLOW_MODEL),
    Load(
        "0.15 s each: 40/s, 60 s of 300/s",
        bursts(40, 300, every_seconds=600, length_seconds=60, first_at=150),
        300,
        Setup(mean_service_seconds=0.15),
    ),
    Load("CV 2: steady 15/s", steady(15), 15, Setup(service_cv=2.0)),
    Load("8 s each: steady 0.5/s", steady(0.5), 0.5, Setup(mean_service_seconds=8)),
    Load(
        "c = 4: 4/s, 15 s spikes of 30/s",
        bursts(4, 30, every_seconds=150, length_seconds=15, first_at=70),
        30,
        Setup(concurrency=4),
    ),
    Load(
        "c = 40: 20/s, 60 s of 120/s",
        bursts(20, 120, every_seconds=300, length_seconds=60, first_at=70),
        120,
        Setup(concurrency=40),
    ),
    Load("pods in 1–2 s: the bursts", _BURSTS, 60, Setup(start_seconds=(1.0, 2.0))),
    Load("pods in 20–40 s: the bursts", _BURSTS, 60, Setup(start_seconds=(20.0, 40.0))),
    Load("2→50/s within 2 min, and back", trapezoids(2, 50, ramp_seconds=120), 50),
    Load("50→2/s over 40 min", ramp(50, 2), 50),
    Load("wave of 10 min, 3 to 45/s", wave(3, 45, period_seconds=600), 45),
    Load("random jumps, 1 to 60/s", jumps((1, 3, 8, 15, 30, 60), mean_seconds=60), 60),
    Load(
        "8/s, 10 s spikes of 80/s each minute",
        bursts(8, 80, every_seconds=60, length_seconds=10, first_at=70),
        80,
    ),
    Load(
        "8/s, 10 s spikes of 80/s each 90 s",
        bursts(8, 80, every_seconds=90, length_seconds=10, first_at=70),
        80,
    ),
)
