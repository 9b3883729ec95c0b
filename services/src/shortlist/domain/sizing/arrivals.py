"""How fast applications arrive, from a counter that is read every second or so.

A long look back is precise but late, a short one is early but noisy. So the rate is that of the
time since the last change, and a change is where two rates explain the counts much better than one
(a generalized likelihood ratio test, the textbook way to find when a Poisson rate changed): while
nothing changes the look is the longest, and a surge or a lull cuts it to the seconds after it. If
the rate grew steadily since then, the growth is a trend, to be looked ahead with.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

WINDOWS_SECONDS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0)
"""Each about 1.6 times the one before. With Poisson arrivals, 20/s over 30 s is known to within
√(20/30) = 0.8/s; longer windows made a ramp late and nothing else better."""

CHANGE_SIGMAS = 3.5
"""Chance alone crosses it in 0.05 % of all comparisons: with seven a second, every five minutes.
At 3 a steady load and a ramp cost 5 to 7 % more workers in the simulator, for nothing."""

TREND_SIGMAS = 2.5
"""Weaker, because a wrong trend costs little: what it asked for is soon let go again."""

SHORTEST_TREND_SECONDS = 20.0
"""In shorter windows every step looks like a steep trend."""

_SLACK_SECONDS = 0.05
"""A sample so much too young still begins a window: ticks are not exact."""


class Sample(NamedTuple):
    """The counter's value at a time, in seconds."""

    at: float
    total: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What was estimated. Rates are per second, ``growth`` is per second and second (≥ 0)."""

    rate: float
    window_seconds: float
    growth: float = 0.0

    def ahead(self, seconds: float) -> float:
        """Forecast the rate so many seconds from now. ``rate`` is that of the window's middle."""
        return self.rate + self.growth * (self.window_seconds / 2 + seconds if self.growth else 0.0)


def remember(samples: tuple[Sample, ...], now: float, total: int) -> tuple[Sample, ...]:
    """Add a reading, forget what no window needs. A smaller total means that it began anew."""
    if samples and (total < samples[-1].total or now <= samples[-1].at):
        return (Sample(now, total),)
    oldest = now - WINDOWS_SECONDS[-1] - _SLACK_SECONDS
    first = max(0, bisect_right(samples, oldest, key=_at) - 1)
    return (*samples[first:], Sample(now, total))


def estimate(samples: tuple[Sample, ...]) -> Arrivals:
    """Estimate the rate now from the samples that `remember` kept; 0 from fewer than two."""
    if not samples[1:]:  # a difference needs two
        return Arrivals(0.0, 0.0)
    windows = [_counted(samples, seconds) for seconds in WINDOWS_SECONDS]
    window = windows[-1]
    while (later := _since_change(window, windows)) is not None:
        window = later  # a spike is two changes: look for another one after it
    return Arrivals(window.rate, window.seconds, _growth(samples, window))


class _Window(NamedTuple):
    arrived: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.arrived / self.seconds


def _at(sample: Sample) -> float:
    return sample.at


def _counted(samples: tuple[Sample, ...], seconds: float) -> _Window:
    """Count what came in the last so many seconds; in fewer, if no sample is that old."""
    last = samples[-1]
    index = bisect_right(samples, last.at - seconds + _SLACK_SECONDS, key=_at) - 1
    first = samples[min(max(index, 0), len(samples) - 2)]
    return _Window(last.total - first.total, last.at - first.at)


def _since_change(window: _Window, windows: list[_Window]) -> _Window | None:
    """Return the part of a window that begins at its clearest change; None when none is clear."""
    clearest, found = CHANGE_SIGMAS, None
    for late in windows:
        early = _Window(window.arrived - late.arrived, window.seconds - late.seconds)
        if early.seconds > 0 and (sigmas := _sigmas_apart(early, late)) > clearest:
            clearest, found = sigmas, late
    return found


def _sigmas_apart(one: _Window, other: _Window) -> float:
    """Tell how improbable one common rate is: √(2 · log-likelihood ratio), near normal (Wilks)."""
    both = _Window(one.arrived + other.arrived, one.seconds + other.seconds)
    ratio = _log_likelihood(one) + _log_likelihood(other) - _log_likelihood(both)
    return math.sqrt(2 * max(0.0, ratio))


def _log_likelihood(window: _Window) -> float:
    """Compute it of the count, at its own rate, but for terms that every split shares."""
    return window.arrived * math.log(window.rate) if window.arrived else 0.0


def _growth(samples: tuple[Sample, ...], whole: _Window) -> float:
    """Tell how fast the rate grew from a window's first half to its second, unless by chance."""
    if whole.seconds < SHORTEST_TREND_SECONDS - _SLACK_SECONDS:
        return 0.0
    late = _counted(samples, whole.seconds / 2)
    early = _Window(whole.arrived - late.arrived, whole.seconds - late.seconds)
    if early.seconds <= 0:
        return 0.0
    apart = whole.seconds / 2
    growth = (late.rate - early.rate) / apart
    deviation = math.sqrt(late.rate / late.seconds + early.rate / early.seconds) / apart
    return growth if growth > TREND_SIGMAS * deviation else 0.0
