"""SAQ on Redis.

Reliable: a job's time-out just above its length, three tries, and the sweep each second. The sweep
waits up to 5 s for each job that it aborts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saq import Queue

from loadtest.bench.child import python
from loadtest.bench.peers import job
from loadtest.bench.peers.protocol import POLL_SECONDS, Setup, each

if TYPE_CHECKING:
    from collections.abc import Sequence

SETUP = Setup.from_environment()

queue = Queue.from_url(SETUP.redis_url)


async def score(_context: dict[str, Any], *, number: int) -> None:
    """Do the job."""
    await job.score(number)


settings = {
    "queue": queue,
    "functions": [score],
    "concurrency": SETUP.concurrency,
    "timers": {"sweep": POLL_SECONDS} if SETUP.reliable else {},
}


async def prepare() -> None:
    """SAQ makes what it needs."""


async def enqueue(jobs: Sequence[int]) -> None:
    """One ``enqueue`` each."""
    options = {"timeout": SETUP.longest_job_seconds, "retries": 3} if SETUP.reliable else {}
    await queue.connect()
    await each(lambda number: queue.enqueue("score", number=number, ttl=-1, **options), jobs)
    await queue.disconnect()


def worker_command() -> list[str]:
    """``saq``."""
    return python("-m", "saq", f"{__name__}.settings", "--quiet")
