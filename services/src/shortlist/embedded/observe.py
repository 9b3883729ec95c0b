"""Looks once a second: the line, the workers, the connections. Reads only; decides nothing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shortlist.domain.application import PipelineName
from shortlist.embedded.rates import Rate, RecentHistogram, Total
from shortlist.embedded.view import PipelineView, View
from shortlist.storage import connections, heartbeats, postgres, redis
from shortlist.storage.line import Line
from shortlist.telemetry import LATENCY_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shortlist.storage.connections import ConnectionLimits
    from shortlist.storage.heartbeats import Grant, Heartbeat

_LOOK_TIMEOUT_SECONDS = 2.0


@dataclass
class _Memory:
    """What must be remembered of one pipeline to know its rates."""

    accepted: Rate = field(default_factory=Rate)
    completed: Rate = field(default_factory=Rate)
    finished: Total = field(default_factory=Total)
    latency: RecentHistogram = field(default_factory=RecentHistogram)


class Observer:
    """Has a Redis client and one Postgres connection of its own."""

    def __init__(self, database_url: str, redis_url: str, pipelines: Iterable[str]) -> None:
        """Connects when first used, and again after a break."""
        self._database_url = database_url
        self.redis = redis.connect(redis_url)
        self._connection: postgres.Connection | None = None
        self._memories = {PipelineName(name): _Memory() for name in pipelines}
        self.beats: dict[PipelineName, list[Heartbeat]] = {}
        """The last heartbeats that were read, stale ones too."""
        self.grants: dict[PipelineName, dict[str, Grant]] = {}
        """The grants that stand, as last read."""
        self.open_by_worker: dict[str, int] = {}
        """Worker id → its connections, as Postgres last counted them."""
        self.limits: ConnectionLimits | None = None
        """Postgres's limits, as last read."""

    async def look(self) -> View:
        """One look at everything; never raises, never waits long."""
        problems: list[str] = []
        views: list[PipelineView] = []
        try:
            async with asyncio.timeout(_LOOK_TIMEOUT_SECONDS):
                await self._read_postgres()
        except postgres.POSTGRES_ERRORS as error:
            problems.append(f"Postgres does not answer: {_said(error)}")
            if self._connection is not None:
                self._connection.terminate()
        try:
            async with asyncio.timeout(_LOOK_TIMEOUT_SECONDS):
                views = [await self._pipeline(name) for name in self._memories]
        except redis.REDIS_ERRORS as error:
            problems.append(f"Redis does not answer: {_said(error)}")
        return View(views, problems)

    async def connection(self) -> postgres.Connection:
        """The connection, opened anew after a break; raises `CONNECTION_ERRORS`."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await postgres.connect(
                self._database_url, application_name="shortlist-up"
            )
        return self._connection

    async def close(self) -> None:
        """Give back what it holds."""
        await self.redis.aclose()
        if self._connection is not None:
            await postgres.close_quickly(self._connection)

    async def _read_postgres(self) -> None:
        connection = await self.connection()
        self.limits = await connections.limits(connection)
        self.open_by_worker = await connections.open_by_worker(connection)

    async def _pipeline(self, name: PipelineName) -> PipelineView:
        line = Line(self.redis, name)
        depth, submissions = await line.depth(), await line.submissions()
        beats = await heartbeats.all_beats(self.redis, name)
        self.beats[name], self.grants[name] = beats, await heartbeats.all_grants(self.redis, name)
        memory, now = self._memories[name], time.monotonic()
        memory.accepted.observe(now, submissions)
        memory.finished.observe({beat.worker_id: beat.completed + beat.failed for beat in beats})
        memory.completed.observe(now, memory.finished.total)
        memory.latency.observe(now, {beat.worker_id: beat.latency_buckets for beat in beats})
        live = heartbeats.live(beats, time.time())
        return PipelineView(
            name=name,
            waiting=depth.waiting,
            in_flight=sum(beat.in_flight for beat in live),
            accepted_rate=memory.accepted.per_second,
            completed_rate=memory.completed.per_second,
            workers=len(live),
            granted=sum(self._granted(name, beat) for beat in live),
            open=sum(self._open(beat) for beat in live),
            p99_seconds=memory.latency.quantile(0.99, LATENCY_BUCKETS),
        )

    def _granted(self, name: PipelineName, beat: Heartbeat) -> int:
        grant = self.grants[name].get(beat.worker_id)
        return beat.grant if grant is None else grant.connections

    def _open(self, beat: Heartbeat) -> int:
        return max(beat.open_connections, self.open_by_worker.get(beat.worker_id, 0))


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
