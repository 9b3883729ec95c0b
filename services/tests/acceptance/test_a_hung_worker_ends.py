"""A worker whose event loop hangs ends itself, whatever supervises it, and says where it hung."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testkit.waiting import until

if TYPE_CHECKING:
    from testkit.processes.place import Place

BOUND_SECONDS = 6.0
"""Of the three after which the watchdog ends it in this test."""


async def a_hung_worker_ends(place: Place, *, unguarded: str) -> None:
    async with place.running() as run:
        run.stack.expected_deaths.add(1)
        worker = await run.stack.start("worker", unguarded=f"deadly_payloads,{unguarded}")
        await run.ledger.post(prefix="!loop ")

        async def scoring() -> bool:
            return bool(await run.ledger.value("SELECT count(*) FROM attempts"))

        await until(scoring, within_seconds=10, what="it is scored")
        try:
            await worker.succeeded(1, within_seconds=BOUND_SECONDS)
        finally:
            worker.wanted = False
        assert 'deadly.py", line' in worker.log, "it does not say where it hung"


async def test_a_worker_that_hangs_ends_itself_and_says_where(place: Place) -> None:
    await a_hung_worker_ends(place, unguarded="hangs_soon")


async def test_off_switch_without_the_watchdog_it_hangs_for_ever(place: Place) -> None:
    with pytest.raises(AssertionError, match="has a successor"):
        await a_hung_worker_ends(place, unguarded="hangs_soon,watchdog")


async def test_a_worker_that_is_only_busy_goes_on(place: Place) -> None:
    """A worker whose loop turns is not ended, however long a score takes."""
    async with place.running(service_seconds=8) as run:
        worker = await run.stack.start("worker", unguarded="hangs_soon")
        await run.ledger.submit(3)
        await run.ledger.settle()
        assert worker.deaths == []
