"""The lines of all pipelines: which there are, how long each may get and is.

The registry alone learns what the servers report: it polls both once a second, and in between each
publishing returns the depth.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

import structlog

from shortlist.http.errors import invalid
from shortlist.ingest.admission.line_capacity import LineCapacity
from shortlist.ingest.ids import Ids
from shortlist.storage.deadline_batcher import Asked, DeadlineBatcher
from shortlist.storage.faults import describe
from shortlist.storage.postgres.queries import applications, pipelines
from shortlist.storage.redis.line import Depth, Line
from shortlist.storage.trouble import Trouble
from shortlist.telemetry.metrics import LINE_DELIVERED, LINE_WAITING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from shortlist.domain.line.application import ApplicationId, PipelineName
    from shortlist.storage.postgres import ServerClock
    from shortlist.storage.postgres.database import Database
    from shortlist.storage.redis import Redis
    from shortlist.storage.redis.line import Entry

_POLL_INTERVAL_SECONDS = 1.0

_LEARN_INTERVAL_SECONDS = 0.1
"""At least, between two queries for unknown names; ten small ones a second cost nothing."""

_SHARE = 1 / 2
"""Of the time-out, what finding a pipeline may take: what is asked of it needs the rest."""

_log = structlog.get_logger(__name__)


class LineRegistry:
    """Knows the lines of all pipelines, and how full each is."""

    def __init__(
        self, database: Database, redis: Redis, on_clock: Callable[[ServerClock], None]
    ) -> None:
        """Knows none before the first `poll`. ``on_clock`` is called with Postgres's time."""
        self._database = database
        self._redis = redis
        self._on_clock = on_clock
        self.ids = Ids()
        """Makes the ids of what is accepted."""
        self._capacities: dict[str, LineCapacity] = {}
        self._lines: dict[str, Line] = {}
        self._learning = DeadlineBatcher(
            self._learn_anew, timeout_seconds=database.timeout_seconds * _SHARE
        )
        self._learnt_at = -math.inf
        self._troubles: dict[str, Trouble] = {}

    def known(self, pipeline: str) -> LineCapacity | None:
        """Return the line of a pipeline, if it is known already."""
        return self._capacities.get(pipeline)

    async def publish(self, pipeline: PipelineName, entries: Sequence[Entry]) -> None:
        """Publish applications that have places; raises what Redis raises."""
        depth = await self._lines[pipeline].publish(entries)
        ids = [entry.application_id for entry in entries]
        self._capacities[pipeline].record_published(ids, depth.total, time.monotonic())

    def leave_to_sweep(self, pipeline: PipelineName, ids: Iterable[ApplicationId]) -> None:
        """Count applications that have places as accepted, and not published yet."""
        self._capacities[pipeline].record_unpublished(ids, time.monotonic())

    async def find(self, pipeline: str, since: float | None = None) -> LineCapacity:
        """Return the line of a pipeline that a client named; 400 when there is no such pipeline.

        ``since``: when the request began (monotonic seconds); None: now. 503 when Postgres does
        not answer; a query that fails answers all who waited for it.
        """
        capacity = self._capacities.get(pipeline)
        if capacity is None:
            await self._learning.submit(None, since or time.monotonic())
            capacity = self._capacities.get(pipeline)
        if capacity is None:
            raise invalid("There is no such pipeline.", "pipeline")
        return capacity

    async def run(self) -> None:
        """Poll both servers once a second, for ever."""
        while True:
            try:
                await self.poll()
            except Exception as error:  # what is known stays; the next poll is soon
                _log.warning("pipelines_unknown", error=describe(error))
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)

    async def poll(self) -> None:
        """Learn the pipelines and their depths; 503 when Postgres does not answer."""
        await self._learn(time.monotonic() + self._database.timeout_seconds)
        await asyncio.gather(*(self._measure(name) for name in list(self._capacities)))

    async def _learn_anew(self, asked: list[Asked[None]], deadline: float) -> list[None]:
        """Learn pipelines that may be new; at most ten times a second, whatever clients send.

        Only a query that began after the asking can know what was made just before it.
        """
        await asyncio.sleep(self._learnt_at + _LEARN_INTERVAL_SECONDS - time.monotonic())
        await self._learn(deadline)
        return [None] * len(asked)

    async def _learn(self, deadline: float) -> None:
        began_at = time.monotonic()
        snapshot = await self._database.run(pipelines.read, deadline)
        self.ids.learn(snapshot.clock.at(time.monotonic()), snapshot.newest)
        self._on_clock(snapshot.clock)
        for name, limit in snapshot.capacities.items():
            if name in self._capacities:
                self._capacities[name].limit = limit
            else:
                self._lines[name] = Line(self._redis, name)
                self._capacities[name] = LineCapacity(name, limit)
                self._troubles[name] = Trouble("measuring the line", "redis")
        self._learnt_at = max(self._learnt_at, began_at)

    async def _measure(self, name: str) -> None:
        capacity, line, trouble = self._capacities[name], self._lines[name], self._troubles[name]
        reports = capacity.reports
        try:
            depth = await line.depth()
        except Exception as error:  # counted in Postgres then
            trouble.met(error)
            capacity.distrust(time.monotonic())
        else:
            trouble.over()
            if capacity.reports == reports:
                capacity.record_depth(depth.total, time.monotonic())
            _export(name, depth)
        if not capacity.trusts(time.monotonic()):
            await self._count(capacity)

    async def _count(self, capacity: LineCapacity) -> None:
        before = capacity.oldest_taken() or self.ids.next()
        unfinished = await self._database.read(
            lambda connection: applications.unfinished_count(
                connection, capacity.pipeline, before=before, limit=capacity.limit
            )
        )
        capacity.record_count(unfinished, before)


def _export(name: str, depth: Depth) -> None:
    LINE_WAITING.labels(name).set(depth.waiting)
    LINE_DELIVERED.labels(name).set(depth.delivered)
