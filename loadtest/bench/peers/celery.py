"""Celery on Redis with a pool of threads.

Reliable: late acknowledgement, a visibility time-out just above a job's length, and
unacknowledged messages looked at each second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import celery

from loadtest.bench.child import python
from loadtest.bench.peers import job
from loadtest.bench.peers.protocol import POLL_SECONDS, Setup

if TYPE_CHECKING:
    from collections.abc import Sequence

SETUP = Setup.from_environment()

app = celery.Celery("bench", broker=SETUP.redis_url)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=SETUP.reliable,
    task_reject_on_worker_lost=SETUP.reliable,
    worker_prefetch_multiplier=1 if SETUP.reliable or SETUP.service_seconds else 10,
)
if SETUP.reliable:
    app.conf.broker_transport_options = {
        "visibility_timeout": SETUP.longest_job_seconds,
        "unacked_restore_interval": POLL_SECONDS,
        "unacked_restore_throttle": 1,
    }
score = app.task(job.score_in_thread, name="score")


async def prepare() -> None:
    """Celery makes what it needs."""


async def enqueue(jobs: Sequence[int]) -> None:
    """One ``delay`` each."""
    for number in jobs:
        score.delay(number)


def worker_command() -> list[str]:
    """``celery worker`` without the chatter between workers."""
    return python(
        "-m", "celery", "-A", __name__, "worker", "--pool=threads",
        f"--concurrency={SETUP.concurrency}", "--loglevel=WARNING",
        "--without-gossip", "--without-mingle", "-n", "%h-%i-%n",
    )  # fmt: skip
