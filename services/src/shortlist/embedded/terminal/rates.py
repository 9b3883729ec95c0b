"""Rates and percentiles from counters that only grow, read once a second."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shortlist.domain.percentiles import histogram_quantile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_ENDS = 2
"""A rate is the difference of two readings."""


@dataclass
class Rate:
    """Events per second over the last ``window_seconds``."""

    window_seconds: float = 5.0
    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def observe(self, now: float, count: int) -> None:
        """``count``: the counter at ``now``. One that went back was reset: start anew."""
        if self._seen and count < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, count))
        while len(self._seen) > _ENDS and self._seen[1][0] <= now - self.window_seconds:
            self._seen.popleft()

    @property
    def per_second(self) -> float:
        """0 until two readings are there."""
        if len(self._seen) < _ENDS:
            return 0.0
        (then, before), (now, count) = self._seen[0], self._seen[-1]
        return (count - before) / (now - then) if now > then else 0.0


@dataclass
class Total:
    """The sum of counters whose owners come and go: what a leaver counted stays counted."""

    total: int = 0
    _last: dict[str, int] = field(default_factory=dict)

    def observe(self, counts: Mapping[str, int]) -> None:
        """Add ``counts``: owner → its counter now. An owner is new when its counter went back."""
        for owner, count in counts.items():
            before = self._last.get(owner, 0)
            self.total += count - before if count >= before else count
        self._last = dict(counts)


@dataclass
class RecentHistogram:
    """How a histogram that is the sum of several owners' grew over the last ``window_seconds``."""

    window_seconds: float = 60.0
    _last: dict[str, Sequence[int]] = field(default_factory=dict)
    _steps: deque[tuple[float, list[int]]] = field(default_factory=deque)

    def observe(self, now: float, counts: Mapping[str, Sequence[int]]) -> None:
        """Add ``counts``: owner → how many fell into each bucket, ever."""
        step: list[int] = []
        for owner, buckets in counts.items():
            before = self._last.get(owner, [0] * len(buckets))
            grown = [max(0, a - b) for a, b in zip(buckets, before, strict=True)]
            step = [a + b for a, b in zip(step, grown, strict=True)] if step else grown
        self._last = dict(counts)
        if any(step):
            self._steps.append((now, step))
        while self._steps and self._steps[0][0] <= now - self.window_seconds:
            self._steps.popleft()

    def quantile(self, share: float, bounds: Sequence[float]) -> float | None:
        """Return the value below which ``share`` of the window's observations lie, or None."""
        if not self._steps:
            return None
        counts = [sum(column) for column in zip(*(step for _, step in self._steps), strict=True)]
        return histogram_quantile(share, bounds, counts)
