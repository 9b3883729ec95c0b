"""What is seen of a burst in each second, and what became of all its applications."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.percentiles import nearest_rank

if TYPE_CHECKING:
    from collections.abc import Sequence

_WINDOW_SECONDS = 5.0
"""Percentiles are of the applications that were scored in so many seconds."""


@dataclass
class Sample:
    """One second. Rates are per second; percentiles are submit to scored, in seconds."""

    second: float
    arriving: float
    waiting: int
    in_flight: int
    starting: int
    ready: int
    leaving: int
    """Draining, or ending after that."""
    connections_open: int
    connections_granted: int
    connections_budget: int
    p50_seconds: float | None = None
    p99_seconds: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of all applications."""

    answers: dict[int, int]
    scored: int
    attempts: int
    p99_seconds: float

    @property
    def is_good(self) -> bool:
        """Whether all were accepted, and each was scored at its first attempt."""
        return self.answers == {202: self.scored} and self.attempts == self.scored


def add_percentiles(samples: Sequence[Sample], scored: Sequence[tuple[float, float]]) -> None:
    """``scored``: for each application the second it was scored in, and how long it had taken."""
    for sample in samples:
        since = sample.second - _WINDOW_SECONDS
        recent = sorted(took for at, took in scored if since < at <= sample.second)
        if recent:
            sample.p50_seconds = round(nearest_rank(recent, 0.50), 3)
            sample.p99_seconds = round(nearest_rank(recent, 0.99), 3)
