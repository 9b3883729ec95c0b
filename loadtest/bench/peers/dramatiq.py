"""Dramatiq on Redis, one process with threads.

Reliable: a heartbeat time-out of 3 s, and maintenance on every command.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from loadtest.bench.child import python
from loadtest.bench.peers import job
from loadtest.bench.peers.protocol import SILENCE_SECONDS, Setup

if TYPE_CHECKING:
    from collections.abc import Sequence

SETUP = Setup.from_environment()

_RELIABLE = {"heartbeat_timeout": SILENCE_SECONDS * 1000, "maintenance_chance": 1_000_000}
broker = RedisBroker(url=SETUP.redis_url, **(_RELIABLE if SETUP.reliable else {}))
dramatiq.set_broker(broker)
score = dramatiq.actor(job.score_in_thread, actor_name="score")


async def prepare() -> None:
    """Dramatiq makes what it needs."""


async def enqueue(jobs: Sequence[int]) -> None:
    """One ``send`` each."""
    for number in jobs:
        score.send(number)


def worker_command() -> list[str]:
    """``dramatiq`` with one process."""
    if SETUP.reliable:
        os.environ["dramatiq_queue_prefetch"] = str(SETUP.concurrency)  # noqa: SIM112 (its name)
    return python("-m", "dramatiq", __name__, "-p", "1", "-t", str(SETUP.concurrency))
