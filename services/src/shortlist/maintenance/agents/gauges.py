"""Shows the line and what waits beside it.

Of maintenance only the leader does, and a replica that stops leading takes its figures back. Every
ingest shows the line's two depths as well: of those take the maximum over all processes, no sum.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shortlist.domain.line.age import HeadAge
from shortlist.maintenance.apart import Apart
from shortlist.storage.postgres.queries import retries
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from shortlist.maintenance.agents.sweep import Sweep, Sweeps
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.redis.line import Line

PERIOD_SECONDS = 1.0

_COUNT_SECONDS = 5.0
"""Retries are counted less often: that reads all of them."""

_GAUGES = (
    metrics.LINE_WAITING,
    metrics.LINE_DELIVERED,
    metrics.OLDEST_AGE_SECONDS,
    metrics.RETRIES_WAITING,
    metrics.SUSPECTS,
)


class Gauges:
    """Refreshes the gauges of all pipelines."""

    def __init__(self, desk: LeaderContext, sweeps: Sweeps) -> None:
        """``sweeps`` know which pipelines there are."""
        self._desk = desk
        self._sweeps = sweeps
        self._apart = Apart("gauges")
        self._count_at = 0.0
        self._heads: dict[str, HeadAge] = {}

    async def turn(self) -> None:
        """Set every gauge from one snapshot."""
        if time.monotonic() >= self._count_at:
            await self._count_retries()
        await self._apart.each(self._sweeps, self._show)

    async def _show(self, sweep: Sweep) -> None:
        name = sweep.pipeline
        metrics.SUSPECTS.labels(name).set(len(sweep.suspects))
        depth = await sweep.line.depth()
        metrics.LINE_WAITING.labels(name).set(depth.waiting)
        metrics.LINE_DELIVERED.labels(name).set(depth.delivered)
        metrics.OLDEST_AGE_SECONDS.labels(name).set(await self._oldest_age_seconds(sweep.line))

    async def _count_retries(self) -> None:
        async with self._desk.connection() as connection:
            waiting = await retries.counts(connection)
        for sweep in self._sweeps:
            metrics.RETRIES_WAITING.labels(sweep.pipeline).set(waiting.get(sweep.pipeline, 0))
        self._count_at = time.monotonic() + _COUNT_SECONDS

    async def _oldest_age_seconds(self, line: Line) -> float:
        server_seconds, now = await line.server_seconds(), time.monotonic()
        oldest = 0.0
        for stream in (line.again, line.line):
            head = await line.head(stream)
            age = self._heads.setdefault(stream, HeadAge())
            position = None if head is None else head.position
            oldest = max(oldest, age.see(position, server_seconds, now))
        return oldest


def take_back() -> None:
    """Show nothing any more."""
    for gauge in _GAUGES:
        gauge.clear()
