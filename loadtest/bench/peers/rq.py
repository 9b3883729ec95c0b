"""RQ, a pool of as many workers as jobs at once; each forks for every job.

Reliable: retries, and its maintenance each second. The 60 s of grace of its heartbeats are fixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
import rq
from rq.worker_pool import WorkerPool

from loadtest.bench.child import python
from loadtest.bench.peers import job
from loadtest.bench.peers.protocol import POLL_SECONDS, Setup

if TYPE_CHECKING:
    from collections.abc import Sequence

SETUP = Setup.from_environment()


class QuickWorker(rq.Worker):  # type: ignore[misc] # (not installed for the type checker)
    """A worker with the shortest intervals that its arguments allow."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As its parent's."""
        intervals = {
            "maintenance_interval": POLL_SECONDS,
            "job_monitoring_interval": POLL_SECONDS,
            "worker_ttl": POLL_SECONDS
            + 15,  # it waits for jobs, and does nothing else, so long less 15
        }
        super().__init__(*args, **kwargs, **(intervals if SETUP.reliable else {}))


def _connection() -> redis.Redis:
    return redis.Redis.from_url(SETUP.redis_url)


async def prepare() -> None:
    """RQ makes what it needs."""


async def enqueue(jobs: Sequence[int]) -> None:
    """One ``enqueue`` each."""
    queue = rq.Queue(connection=_connection())
    retry = rq.Retry(max=3) if SETUP.reliable else None
    for number in jobs:
        queue.enqueue(job.score_in_fork, number, retry=retry, result_ttl=0)


def worker_command() -> list[str]:
    """``rq worker-pool``, by its class: the command has no option for the intervals."""
    return python("-m", __name__)


if __name__ == "__main__":
    from loadtest.bench.peers.rq import QuickWorker as Worker  # by the name children import

    WorkerPool(
        ["default"], _connection(), num_workers=SETUP.concurrency, worker_class=Worker
    ).start(logging_level="WARNING")
