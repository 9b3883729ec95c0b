"""Taskiq on Redis Streams, one process, acknowledgement after execution.

Reliable: messages count as abandoned just above a job's length. It looks for them only after new
messages came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskiq_redis import RedisStreamBroker

from loadtest.bench.child import python
from loadtest.bench.peers import job
from loadtest.bench.peers.protocol import POLL_SECONDS, Setup, each

if TYPE_CHECKING:
    from collections.abc import Sequence

SETUP = Setup.from_environment()

broker = RedisStreamBroker(
    SETUP.redis_url,
    consumer_id="0",
    **(
        {
            "idle_timeout": SETUP.longest_job_seconds * 1000,
            "xread_block": POLL_SECONDS * 1000,
            "xread_count": 1,
            "unacknowledged_lock_timeout": 5.0,
        }
        if SETUP.reliable
        else {}
    ),
)
score = broker.task(task_name="score")(job.score)


async def prepare() -> None:
    """Make the stream and its group."""
    await broker.startup()
    await broker.shutdown()


async def enqueue(jobs: Sequence[int]) -> None:
    """One ``kiq`` each."""
    await broker.startup()
    await each(score.kiq, jobs)
    await broker.shutdown()


def worker_command() -> list[str]:
    """``taskiq worker`` with one process."""
    return python(
        "-m", "taskiq", "worker", f"{__name__}:broker", "--workers", "1",
        "--max-async-tasks", str(SETUP.concurrency), "--log-level", "WARNING",
    )  # fmt: skip
