"""procrastinate on Postgres with psycopg.

Reliable: heartbeats each second, and its documented periodic task, each second, that retries the
jobs of workers that were silent for 3 s.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import procrastinate

from loadtest.bench.child import python
from loadtest.bench.peers import job
from loadtest.bench.peers.protocol import POLL_SECONDS, SILENCE_SECONDS, Setup, each

if TYPE_CHECKING:
    from collections.abc import Sequence

SETUP = Setup.from_environment()

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(
        conninfo=SETUP.database_url, min_size=1, max_size=min(SETUP.concurrency, 20)
    ),
    worker_defaults={
        "concurrency": SETUP.concurrency,
        "fetch_job_polling_interval": POLL_SECONDS,
        **(
            {
                "update_heartbeat_interval": POLL_SECONDS,
                "stalled_worker_timeout": SILENCE_SECONDS,
            }
            if SETUP.reliable
            else {}
        ),
    },
)
score = app.task(job.score, name="score")


async def _retry_stalled(context: procrastinate.JobContext, timestamp: int) -> None:  # noqa: ARG001
    """From its documentation, "Retry stalled jobs"."""
    manager = context.app.job_manager
    for stalled in await manager.get_stalled_jobs(seconds_since_heartbeat=SILENCE_SECONDS):
        await manager.retry_job(stalled, retry_at=dt.datetime.now(dt.UTC))


if SETUP.reliable:
    _task = app.task(queueing_lock="retry_stalled", pass_context=True, name="retry_stalled")
    app.periodic(cron=f"* * * * * */{POLL_SECONDS}")(_task(_retry_stalled))


async def prepare() -> None:
    """Apply its schema."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def enqueue(jobs: Sequence[int]) -> None:
    """One ``defer`` each."""
    async with app.open_async():
        await each(lambda number: score.defer_async(job=number), jobs)


def worker_command() -> list[str]:
    """``procrastinate worker``."""
    return python("-m", "procrastinate", f"--app={__name__}.app", "worker")
