"""Reads what the page shows, at most once a second however many people look.

Postgres is needed; Redis is not: without it the figures are missing and the rows still there.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.storage.postgres import ServerClock
from shortlist.storage.postgres.queries import applications, pipelines
from shortlist.storage.redis import heartbeats
from shortlist.storage.redis.line import Line
from shortlist.storage.trouble import Trouble

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from shortlist.domain.line.application import ApplicationView, PipelineName
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.pool import ConnectionPool
    from shortlist.storage.redis import Redis

RECENT_LIMIT = 50
"""Rows on the page."""

MAX_AGE_SECONDS = 0.9
"""What was read is shown for so long; a little less than the page's second between two looks."""

READ_TIMEOUT_SECONDS = 0.9
"""A Postgres that has not answered by then counts as away: every answer comes within 2 s."""

FIGURES_TIMEOUT_SECONDS = 0.4
"""What Redis gets after that; it mostly answers within milliseconds, and it is not needed."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The line and the workers of all pipelines together, as Redis tells them."""

    waiting: int
    in_flight: int
    workers: int
    slots: int
    connections: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was true at ``read_at``, by Postgres's clock; without Redis there are no ``figures``."""

    read_at: dt.datetime
    recent: list[ApplicationView]
    figures: Figures | None


class SnapshotReader:
    """Shares one read between all who look at the same time."""

    def __init__(self, pool: ConnectionPool, redis: Redis) -> None:
        """``pool`` needs one connection."""
        self._pool = pool
        self._redis = redis
        self._reading: asyncio.Task[Snapshot] | None = None
        self._started = float("-inf")
        self._trouble = Trouble("reading the figures", "redis")
        self._pulses: dict[PipelineName, heartbeats.Pulse] = {}

    async def snapshot(self) -> Snapshot:
        """Return the newest snapshot. Raises what Postgres says when it does not answer."""
        if self._reading is None or self._is_old(self._reading):
            self._started = time.monotonic()
            self._reading = asyncio.create_task(self._read())
        return await asyncio.shield(self._reading)  # one who leaves must not stop the others

    def _is_old(self, reading: asyncio.Task[Snapshot]) -> bool:
        return reading.done() and time.monotonic() - self._started >= MAX_AGE_SECONDS

    async def _read(self) -> Snapshot:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS), self._pool.connection() as connection:
            read_at, recent, names = await _read_truth(connection)
        return Snapshot(read_at, recent, await self._figures(names))

    async def _figures(self, names: Iterable[PipelineName]) -> Figures | None:
        try:
            async with asyncio.timeout(FIGURES_TIMEOUT_SECONDS):
                figures = _sum([await self._figures_of(name) for name in names])
        except Exception as error:  # the rows are shown without the figures
            self._trouble.met(error)
            return None
        self._trouble.over()
        return figures

    async def _figures_of(self, pipeline: PipelineName) -> Figures:
        depth = await Line(self._redis, pipeline).depth()
        beats = await heartbeats.all_beats(self._redis, pipeline)
        pulse = self._pulses.setdefault(pipeline, heartbeats.Pulse())
        live = pulse.live(beats, time.monotonic())
        return Figures(
            waiting=depth.waiting,
            in_flight=sum(beat.in_flight for beat in live),
            workers=len(live),
            slots=sum(beat.concurrency for beat in live),
            connections=sum(beat.open_connections for beat in live),
        )


async def _read_truth(
    connection: Connection,
) -> tuple[dt.datetime, list[ApplicationView], list[PipelineName]]:
    recent = await applications.recent(connection, RECENT_LIMIT)
    names = list(await pipelines.capacities(connection))
    return (await ServerClock.read(connection)).server, recent, names


def _sum(parts: list[Figures]) -> Figures:
    return Figures(
        waiting=sum(part.waiting for part in parts),
        in_flight=sum(part.in_flight for part in parts),
        workers=sum(part.workers for part in parts),
        slots=sum(part.slots for part in parts),
        connections=sum(part.connections for part in parts),
    )
