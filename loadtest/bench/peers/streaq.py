"""streaQ on Redis.

Reliable: an idle time-out of 3 s, which its workers renew while they work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaq import Worker

from loadtest.bench.child import python
from loadtest.bench.peers import job
from loadtest.bench.peers.protocol import SILENCE_SECONDS, Setup, each

if TYPE_CHECKING:
    from collections.abc import Sequence

SETUP = Setup.from_environment()

worker: Worker[None] = Worker(
    redis_url=SETUP.redis_url,
    concurrency=SETUP.concurrency,
    prefetch=1 if SETUP.reliable else None,
    idle_timeout=SILENCE_SECONDS if SETUP.reliable else 60,
)
score = worker.task(name="score", ttl=0, silent=True)(job.score)


async def prepare() -> None:
    """StreaQ makes what it needs."""


async def enqueue(jobs: Sequence[int]) -> None:
    """One ``enqueue`` each."""
    async with worker:
        await each(score.enqueue, jobs)


def worker_command() -> list[str]:
    """``streaq run``."""
    return python("-m", "streaq", "run", f"{__name__}:worker")
