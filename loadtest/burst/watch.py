"""Looks at a running `shortlist up` once a second."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import psutil

from loadtest.burst.load import RESOURCE
from loadtest.burst.sample import Sample
from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.domain.sizing.pipeline import parse_pipeline
from shortlist.storage import postgres, redis, snapshots

if TYPE_CHECKING:
    from loadtest.bench.child import Child


class Watch:
    """Samples a running `shortlist up`, each second."""

    def __init__(self, up: Child, database_url: str, redis_url: str) -> None:
        """Connect only when it is run."""
        self._up = up
        self._database_url = database_url
        self._redis = redis.connect(redis_url)
        self._memory = snapshots.LineMemory()
        self._before = (0.0, 0)
        self._reported: set[int] = set()
        self.samples: list[Sample] = []

    async def run(self, started_at: float) -> None:
        """Until cancelled; ``started_at`` is Unix time, and second 0."""
        connection = await postgres.connect(self._database_url, application_name="burst")
        try:
            while True:
                await asyncio.sleep(started_at + len(self.samples) - time.time())
                self.samples.append(await self._sample(connection, started_at))
        finally:
            await postgres.close_quickly(connection)
            await self._redis.aclose()

    async def _sample(self, connection: postgres.Connection, started_at: float) -> Sample:
        look = await snapshots.read_line(self._redis, DEFAULT_PIPELINE, self._memory)
        at = time.time()
        counted = await snapshots.read_connections(connection)
        processes = await asyncio.to_thread(_workers, self._up.pid)
        ready = sum(not beat.draining for beat in look.live)
        self._reported |= {beat.pid for beat in look.live}
        reserved = parse_pipeline(RESOURCE).connections.reserved
        return Sample(
            second=round(at - started_at, 2),
            arriving=self._arriving(look, at),
            waiting=look.reading.waiting,
            in_flight=sum(beat.in_flight for beat in look.live),
            starting=len(processes - self._reported),
            ready=ready,
            leaving=max(0, len(processes & self._reported) - ready),
            connections_open=sum(counted.open_by_worker.values()),
            connections_granted=sum(grant.connections for grant in look.grants.values()),
            connections_budget=counted.limits.budget(reserved),
        )

    def _arriving(self, look: snapshots.LineSnapshot, at: float) -> float:
        (before, count), now = self._before, (at, look.reading.submissions)
        self._before = now
        return round((now[1] - count) / (now[0] - before), 1) if before else 0.0


def _workers(up: int) -> set[int]:
    """Find the worker processes of a `shortlist up`."""
    return {child.pid for child in psutil.Process(up).children() if _is_worker(child)}


def _is_worker(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[-2:] == ["shortlist", "worker"]
    except psutil.NoSuchProcess:
        return False
