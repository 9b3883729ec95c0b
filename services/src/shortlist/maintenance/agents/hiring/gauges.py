"""Shows how full openings are, and whether a place stays free beside an applicant who waits.

Only the leader does, and a replica that stops leading takes its figures back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, get_args

from shortlist.domain.hiring.ordering import Order
from shortlist.storage.postgres.queries.hiring.leader import hiring_figures
from shortlist.storage.postgres.queries.hiring.leader.hiring_figures import Figures
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from shortlist.maintenance.context import LeaderContext

PERIOD_SECONDS = 5.0

_REST_SHARE = 20
"""It rests for at least so many times as long as it took, however many openings there are."""

_GAUGES = (
    metrics.HIRING_PLACES,
    metrics.HIRING_WAITING,
    metrics.HIRING_UNFILLED,
    metrics.HIRING_OVERDUE_SECONDS,
    metrics.HIRING_CYCLE_AGE_SECONDS,
)


class Gauges:
    """Refreshes hiring's gauges."""

    def __init__(self, desk: LeaderContext) -> None:
        """Nothing is shown before the first turn."""
        self._desk = desk

    async def turn(self) -> float:
        """Set every gauge from one look; how many seconds to sleep."""
        began = time.monotonic()
        async with self._desk.connection() as connection:
            found = await hiring_figures.places(connection)
        for order in get_args(Order):
            figures = found.get(order, Figures())
            metrics.HIRING_PLACES.labels(order, "held").set(figures.held)
            metrics.HIRING_PLACES.labels(order, "free").set(figures.free)
            metrics.HIRING_WAITING.labels(order).set(figures.waiting)
            metrics.HIRING_UNFILLED.labels(order).set(figures.unfilled)
        return max(PERIOD_SECONDS, _REST_SHARE * (time.monotonic() - began))


def take_back() -> None:
    """Show nothing any more."""
    for gauge in _GAUGES:
        gauge.clear()
