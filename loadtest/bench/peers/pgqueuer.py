"""PgQueuer on Postgres with asyncpg, in batches of half of what runs at once (its rule).

Reliable: a heartbeat time-out of 3 s, a look each second.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job  # noqa: TC002 (pgqueuer reads the annotation)
from pgqueuer.queries import Queries

from loadtest.bench.child import python
from loadtest.bench.peers import job
from loadtest.bench.peers.protocol import POLL_SECONDS, SILENCE_SECONDS, Setup, each

if TYPE_CHECKING:
    from collections.abc import Sequence

SETUP = Setup.from_environment()


async def _score(work: Job) -> None:
    await job.score(int(work.payload or b""))


async def _work() -> None:
    queuer = PgQueuer(AsyncpgDriver(await asyncpg.connect(SETUP.database_url)))
    queuer.entrypoint("score")(_score)
    intervals = {
        "heartbeat_timeout": dt.timedelta(seconds=SILENCE_SECONDS),
        "dequeue_timeout": dt.timedelta(seconds=POLL_SECONDS),
    }
    await queuer.run(
        batch_size=max(1, SETUP.concurrency // 2),
        max_concurrent_tasks=SETUP.concurrency,
        **(intervals if SETUP.reliable else {}),
    )


async def prepare() -> None:
    """Install its schema."""
    connection = await asyncpg.connect(SETUP.database_url)
    await Queries(AsyncpgDriver(connection)).install()
    await connection.close()


async def enqueue(jobs: Sequence[int]) -> None:
    """One ``enqueue`` each, over a pool."""
    async with asyncpg.create_pool(SETUP.database_url, max_size=16) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        await each(lambda number: queries.enqueue("score", str(number).encode()), jobs)


def worker_command() -> list[str]:
    """Return what ``pgq run`` runs; the command itself fails with the newest typer."""
    return python("-m", __name__)


if __name__ == "__main__":
    uvloop.run(_work())
