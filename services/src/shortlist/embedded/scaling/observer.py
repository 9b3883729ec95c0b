"""Observes once a second: the line, the workers, the connections. Reads only; decides nothing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from shortlist.domain.errors import message_of
from shortlist.domain.line.application import PipelineName
from shortlist.embedded.terminal.rates import Rate, RecentHistogram, Total
from shortlist.embedded.terminal.view import PipelineView, View
from shortlist.storage import postgres, redis, snapshots
from shortlist.storage.postgres.reopening import ReopeningConnection
from shortlist.storage.redis.line import Line
from shortlist.telemetry.metrics import LATENCY_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shortlist.storage.redis.heartbeats import Heartbeat
    from shortlist.storage.snapshots import ConnectionsSnapshot, LineSnapshot
    from shortlist.urls import DatabaseUrl, RedisUrl

_QUERY_TIMEOUT_SECONDS = 2.0


@dataclass
class _Memory:
    """What must be remembered of one pipeline to know its rates."""

    accepted: Rate = field(default_factory=Rate)
    completed: Rate = field(default_factory=Rate)
    finished: Total = field(default_factory=Total)
    latency: RecentHistogram = field(default_factory=RecentHistogram)
    line: snapshots.LineMemory = field(default_factory=snapshots.LineMemory)


class Observer:
    """Has a Redis client and one Postgres connection of its own."""

    def __init__(
        self, database_url: DatabaseUrl, redis_url: RedisUrl, pipelines: Iterable[str]
    ) -> None:
        """Connect when first used, and again after a break."""
        self.redis = redis.connect(redis_url)
        self._connection = ReopeningConnection(
            partial(postgres.connect, database_url, application_name="shortlist-up"),
            self._learn_server,
        )
        self._memories = {PipelineName(name): _Memory() for name in pipelines}
        self.lines: dict[PipelineName, LineSnapshot] = {}
        """What Redis said of each pipeline when last read."""
        self.seen: frozenset[PipelineName] = frozenset()
        """Those that the last observation could read: in a cluster some may be away."""
        self.connections: ConnectionsSnapshot | None = None
        """What Postgres said when last read."""
        self.sees_connections = False
        """Whether the last observation could read Postgres."""
        self.server = ""
        """Which run of Postgres the connection is to."""

    async def observe(self) -> View:
        """Observe everything; never raises, never waits long."""
        problems: list[str] = []
        self.sees_connections, self.seen = False, frozenset()
        try:
            async with asyncio.timeout(_QUERY_TIMEOUT_SECONDS):
                self.connections = await snapshots.read_connections(await self.connection())
            self.sees_connections = True
        except Exception as error:  # whatever it is, the screen says it
            problems.append(f"Postgres does not answer: {message_of(error)}")
            self._connection.terminate()
        said = await asyncio.gather(*(self._observe_line(name) for name in self._memories))
        problems += dict.fromkeys(problem for problem in said if problem is not None)
        return View([self._view(name) for name in self._memories if name in self.seen], problems)

    async def _observe_line(self, name: PipelineName) -> str | None:
        """Observe one line, whatever becomes of the others; return what a person should know."""
        try:
            async with asyncio.timeout(_QUERY_TIMEOUT_SECONDS):
                snapshot = await snapshots.read_line(self.redis, name, self._memories[name].line)
        except Exception as error:  # whatever it is, the screen says it
            return f"Redis does not answer: {message_of(error)}"
        self.lines[name] = snapshot
        self.seen |= {name}
        return _refused(name, snapshot.refused) if snapshot.refused else None

    async def has_waiting(self, pipelines: Iterable[PipelineName]) -> bool:
        """Tell whether an application waits in one of these lines; not when Redis does not say."""
        try:
            depths = [await Line(self.redis, name).depth() for name in pipelines]
        except Exception:  # the next observation says what it is
            return False
        return any(depth.waiting for depth in depths)

    async def connection(self) -> postgres.Connection:
        """Return the connection, opened anew after a break."""
        return await self._connection.get()

    async def _learn_server(self, connection: postgres.Connection) -> None:
        self.server = await postgres.server_run(connection)

    async def close(self) -> None:
        """Give back what it holds."""
        await self.redis.aclose()
        await self._connection.close()

    def counted(self, worker_id: str) -> int:
        """Return a worker's connections, as Postgres last counted them."""
        return 0 if self.connections is None else self.connections.open_by_worker.get(worker_id, 0)

    def _view(self, name: PipelineName) -> PipelineView:
        snapshot, memory, now = self.lines[name], self._memories[name], time.monotonic()
        beats, live = snapshot.beats, snapshot.live
        memory.accepted.observe(now, snapshot.reading.submissions)
        memory.finished.observe({beat.worker_id: beat.completed + beat.failed for beat in beats})
        memory.completed.observe(now, memory.finished.total)
        memory.latency.observe(now, {beat.worker_id: beat.latency_buckets for beat in beats})
        return PipelineView(
            name=name,
            waiting=snapshot.reading.waiting,
            in_flight=sum(beat.in_flight for beat in live),
            accepted_rate=memory.accepted.per_second,
            completed_rate=memory.completed.per_second,
            workers=sum(not beat.draining for beat in live),
            draining=sum(beat.draining for beat in live),
            granted=sum(_granted(snapshot, beat) for beat in live),
            open=sum(max(beat.open_connections, self.counted(beat.worker_id)) for beat in live),
            p99_seconds=memory.latency.quantile(0.99, LATENCY_BUCKETS),
        )


def _granted(snapshot: LineSnapshot, beat: Heartbeat) -> int:
    grant = snapshot.grants.get(beat.worker_id)
    return beat.grant if grant is None else grant.connections


def _refused(pipeline: PipelineName, why: str) -> str:
    return f"{pipeline}: nothing is scored until this is mended, and nothing fails meanwhile: {why}"
