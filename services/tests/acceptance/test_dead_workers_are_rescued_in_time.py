"""Promise 3: what a dead worker held is being scored again within 2 s (perJob), 5 s (perWrite)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.waiting import until

if TYPE_CHECKING:
    import datetime as dt

    from support.ledger import Ledger
    from support.place import Place

BOUND_SECONDS = {"perJob": 2.0, "perWrite": 5.0}
HELD = 4
MUCH_LATER_SECONDS = 8.0
"""How long a check waits for a rescue that comes too late, before it calls it off."""


async def rescued_in_time(place: Place, mode: str, *, kills: int, **settings: object) -> None:
    """Kill the worker that holds everything, again and again; another one stands ready."""
    async with place.running(
        "worker", "maintenance", connection_mode=mode, concurrency=HELD, service_seconds=600,
        **settings,
    ) as run:  # fmt: skip
        victim = run.others[0]
        await run.ledger.submit(HELD)
        await _until_attempt(run.ledger, 1, "claimed")
        slowest = 0.0
        for kill in range(1, kills + 1):
            service_seconds = 0.05 if kill == kills else 600
            next_one = await run.stack.start("worker", service_seconds=service_seconds)
            killed_at = await run.ledger.value("SELECT clock_timestamp()")
            victim.remove()
            claimed_at = await _until_attempt(run.ledger, kill + 1, "rescued")
            seconds = (claimed_at - killed_at).total_seconds()
            slowest = max(slowest, seconds)
            assert seconds <= BOUND_SECONDS[mode], f"late: rescued after {seconds:.2f} s"
            victim = next_one
        print(f"{mode}: the slowest of {kills} rescues took {slowest:.2f} s")  # noqa: T201 (the figure)
        await run.ledger.settle()


async def _until_attempt(ledger: Ledger, attempt: int, what: str) -> dt.datetime:
    """When the last of the applications was claimed for the n-th time, by Postgres's clock."""

    async def look() -> dt.datetime | None:
        count, latest = (
            await ledger.query(
                "SELECT count(*), max(claimed_at) FROM attempts WHERE attempt = $1", attempt
            )
        )[0]
        return latest if count == HELD else None

    latest = await until(look, within_seconds=MUCH_LATER_SECONDS, what=what)
    assert latest is not None
    return latest


@pytest.mark.quiet
@pytest.mark.parametrize("mode", BOUND_SECONDS)
async def test_what_a_dead_worker_held_is_being_scored_again_in_time(
    place: Place, mode: str
) -> None:
    await rescued_in_time(place, mode, kills=2)


@pytest.mark.slow
@pytest.mark.quiet
@pytest.mark.parametrize("mode", BOUND_SECONDS)
async def test_twelve_dead_workers_in_a_row_are_each_rescued_in_time(
    place: Place, mode: str
) -> None:
    await rescued_in_time(place, mode, kills=12)


@pytest.mark.parametrize("mode", BOUND_SECONDS)
async def test_off_switch_without_the_sweep_nobody_rescues(place: Place, mode: str) -> None:
    with pytest.raises(AssertionError, match=r"^not within .* rescued$"):
        await rescued_in_time(place, mode, kills=1, guards_off="sweep")
