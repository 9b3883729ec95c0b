"""Whether all processes are whole: each says so, and what comes now is scored in time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from support.place import Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.place import Running

WHOLE_AGAIN_SECONDS = 10.0
"""5 s are promised; a machine that runs other tests meanwhile may need twice as long."""

WAITING = 30


@asynccontextmanager
async def everything(
    directory: Path, database_url: str, redis_url: str, mode: str, *, unguarded: str = ""
) -> AsyncIterator[Running]:
    """Ingest, a worker, maintenance and a dashboard that have scored something."""
    place = Place(directory, database_url, redis_url)
    async with place.running(
        "worker",
        "maintenance",
        "dashboard",
        connection_mode=mode,
        service_seconds=0.05,
        unguarded=unguarded,
    ) as run:
        await run.ledger.submit(20)
        await run.ledger.until_scored(20)
        yield run


async def says_the_truth(run: Running, *, postgres: bool = True, redis: bool = True) -> None:
    """Every process's readiness says whether it can do its work with the servers as they are."""
    worker, maintenance, dashboard = run.others
    for process in (worker, maintenance):
        await process.says(
            f"postgres {postgres}, redis {redis}",
            WHOLE_AGAIN_SECONDS,
            code=200 if postgres and redis else 503,
        )
    if postgres:  # without it, ingest says no more, and without Redis it accepts
        said = "ok" if redis else "unreachable"
        await run.ingest.says(f"redis {said}", WHOLE_AGAIN_SECONDS, code=200, redis=said)
        await dashboard.says("it shows the page", WHOLE_AGAIN_SECONDS, code=200)
    else:
        await run.ingest.says("postgres is away", WHOLE_AGAIN_SECONDS, code=503)


async def is_whole(run: Running) -> None:
    """What comes now is scored in time, nobody was restarted, nothing was lost or doubled."""
    await run.ledger.submit(WAITING)
    assert set(run.ledger.answers) == {202}
    await run.ledger.settle(within_seconds=WHOLE_AGAIN_SECONDS)
    assert not [s.name for s in run.stack.services if s.deaths], "a process ended"
