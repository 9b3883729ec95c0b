from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import REGISTRY

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.maintenance.agents import gauges
from shortlist.maintenance.agents.gauges import Gauges

if TYPE_CHECKING:
    from integration.maintenance.conftest import Shop
    from shortlist.maintenance.agents.sweep import Sweeps
    from shortlist.maintenance.context import LeaderContext

NAMES = (
    "shortlist_line_waiting",
    "shortlist_line_delivered",
    "shortlist_line_oldest_age_seconds",
    "shortlist_retries_waiting",
)


def shown() -> list[float | None]:
    return [REGISTRY.get_sample_value(name, {"pipeline": DEFAULT_PIPELINE}) for name in NAMES]


async def test_the_leader_shows_the_line_and_takes_its_figures_back(
    shop: Shop, desk: LeaderContext, sweeps: Sweeps
) -> None:
    await shop.accept(3, publish=True)
    await shop.line.pull("a worker", 1, 0.01)
    (retried,) = await shop.accept(1)
    await shop.schedule(600, retried)
    await Gauges(desk, sweeps).turn()
    waiting, delivered, age_seconds, retries = shown()
    assert (waiting, delivered, retries) == (2, 1, 1)
    assert age_seconds is not None
    assert 0 < age_seconds < 60
    gauges.take_back()
    assert shown() == [None] * len(NAMES)


async def test_an_empty_line_has_no_age(desk: LeaderContext, sweeps: Sweeps) -> None:
    await Gauges(desk, sweeps).turn()
    assert shown() == [0, 0, 0, 0]
    gauges.take_back()
