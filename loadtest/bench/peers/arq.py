"""ARQ; its keys of jobs in progress outlive a job's time-out by a fixed 10 s.

Reliable: that time-out is just above a job's length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arq.connections import RedisSettings, create_pool

from loadtest.bench.child import python
from loadtest.bench.peers import job
from loadtest.bench.peers.protocol import Setup, each

if TYPE_CHECKING:
    from collections.abc import Sequence

SETUP = Setup.from_environment()


async def score(_context: dict[str, Any], number: int) -> None:
    """Do the job."""
    await job.score(number)


class WorkerSettings:
    """What ``arq`` reads."""

    functions = (score,)
    redis_settings = RedisSettings.from_dsn(SETUP.redis_url)
    max_jobs = SETUP.concurrency
    job_timeout = SETUP.longest_job_seconds if SETUP.reliable else 300
    keep_result = 0
    poll_delay = 0.1
    log_results = False


async def prepare() -> None:
    """ARQ makes what it needs."""


async def enqueue(jobs: Sequence[int]) -> None:
    """One ``enqueue_job`` each."""
    pool = await create_pool(WorkerSettings.redis_settings)
    await each(lambda number: pool.enqueue_job("score", number), jobs)
    await pool.aclose()


def worker_command() -> list[str]:
    """``arq``."""
    return python("-m", "arq", f"{__name__}.WorkerSettings")
