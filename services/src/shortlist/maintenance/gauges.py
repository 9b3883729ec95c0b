"""Shows the line and what waits beside it.

Only the leader does: each figure then comes from one process, and sums over replicas are right. A
replica that stops leading takes its figures back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shortlist import telemetry
from shortlist.storage import retries

if TYPE_CHECKING:
    from shortlist.maintenance.desk import Desk
    from shortlist.maintenance.sweep import Sweeps
    from shortlist.storage.line import Line

PERIOD_SECONDS = 1.0

_GAUGES = (
    telemetry.LINE_WAITING,
    telemetry.LINE_DELIVERED,
    telemetry.OLDEST_AGE_SECONDS,
    telemetry.RETRIES_WAITING,
)


class Gauges:
    """Refreshes the gauges of all pipelines."""

    def __init__(self, desk: Desk, sweeps: Sweeps) -> None:
        """``sweeps`` know which pipelines there are."""
        self._desk = desk
        self._sweeps = sweeps

    async def turn(self) -> None:
        """One look."""
        async with self._desk.connection() as connection:
            waiting = await retries.counts(connection)
        for sweep in self._sweeps:
            name = sweep.pipeline
            telemetry.RETRIES_WAITING.labels(name).set(waiting.get(name, 0))
            depth = await sweep.line.depth()
            telemetry.LINE_WAITING.labels(name).set(depth.waiting)
            telemetry.LINE_DELIVERED.labels(name).set(depth.delivered)
            telemetry.OLDEST_AGE_SECONDS.labels(name).set(await _oldest_age_seconds(sweep.line))


def take_back() -> None:
    """Show nothing any more."""
    for gauge in _GAUGES:
        gauge.clear()


async def _oldest_age_seconds(line: Line) -> float:
    heads = [await line.head(stream) for stream in (line.again, line.line)]
    published = [head.position[0] / 1000 for head in heads if head is not None]
    return max(0.0, time.time() - min(published)) if published else 0.0
