"""How full each line is, known well enough to refuse without asking anybody.

The depth comes from Redis with each publishing and once a second. What entered here since then is
added, so that a burst between two looks cannot overshoot. While Redis is away the unfinished are
counted in Postgres; and for a while after, because the sweep has to put them on the line first.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from shortlist.failpoints import guarded
from shortlist.ingest.errors import ApiError, invalid, rate_limited
from shortlist.ingest.quota import Quota
from shortlist.storage import applications, pipelines
from shortlist.storage.line import Depth, Line
from shortlist.storage.redis import REDIS_ERRORS
from shortlist.telemetry import LINE_DELIVERED, LINE_WAITING, REFUSED

if TYPE_CHECKING:
    from shortlist.domain.application import PipelineName
    from shortlist.ingest.database import Database
    from shortlist.storage.redis import Redis

_LOOK_SECONDS = 1.0

_SWEPT_SECONDS = 10.0
"""After Redis is back, the sweep (every 2 s) has put what Redis never knew on the line by then."""

_RETRY_AFTER_SECONDS = 1.0
"""Workers take from a full line many times a second."""

_log = structlog.get_logger(__name__)


class LineGauge:
    """How many applications of one pipeline are accepted and unfinished.

    An estimate that never forgets what this process did itself. Times are monotonic seconds.
    """

    def __init__(self, pipeline: PipelineName, capacity: int) -> None:
        """``capacity``: with so many, the line is full."""
        self.pipeline = pipeline
        self.capacity = capacity
        self.tells = 0
        """How often Redis told the depth: an answer asked for before the last one is stale."""
        self._told = 0  # by Redis
        self._here = 0  # entered, and not yet in what Redis told
        self._counted = 0  # by Postgres, in place of Redis
        self._strayed = 0  # accepted, but not published; not yet in what Postgres counted
        self._trusted_at = 0.0  # from when on what Redis tells is all there is

    @property
    def depth(self) -> int:
        """The estimate."""
        return max(self._told, self._counted) + self._here + self._strayed

    def enter(self) -> None:
        """Take a place; 429 when there is none."""
        if self.depth >= self.capacity and guarded("line_capacity"):
            REFUSED.labels("line_full").inc()
            raise rate_limited("The line is full.", _RETRY_AFTER_SECONDS)
        self._here += 1

    def leave(self, count: int = 1) -> None:
        """Give places back: what took them was not accepted as new."""
        self._here -= count

    def published(self, count: int, depth: int, now: float) -> None:
        """So many of those that entered are in the line now, which is ``depth`` long with them."""
        self._here -= count
        self.tell(depth, now)

    def strayed(self, count: int, now: float) -> None:
        """So many of those that entered are accepted but not in the line; the sweep finds them."""
        self._here -= count
        self._strayed += count
        self._trusted_at = now + _SWEPT_SECONDS

    def tell(self, depth: int, now: float) -> None:
        """Redis says how long the line is."""
        self.tells += 1
        self._told = depth
        if now >= self._trusted_at:
            self._counted = self._strayed = 0

    def count(self, unfinished: int, strayed: int, now: float) -> None:
        """Postgres says how many are unfinished, ``strayed`` of ours (when asked) among them."""
        self._counted = unfinished
        self._strayed -= strayed
        self._trusted_at = now + _SWEPT_SECONDS

    @property
    def stray_count(self) -> int:
        """Accepted here, not published, and not yet counted by Postgres."""
        return self._strayed

    def quota(self) -> Quota:
        """The line's room, in the words of a rate limit."""
        return Quota(self.capacity, self.capacity - self.depth, _RETRY_AFTER_SECONDS)


class Lines:
    """The lines of all pipelines that there are."""

    def __init__(self, database: Database, redis: Redis) -> None:
        """Knows none before the first `look`."""
        self._database = database
        self._redis = redis
        self._gauges: dict[str, LineGauge] = {}
        self._lines: dict[str, Line] = {}
        self._learning = asyncio.Lock()
        self._learnt_at = 0.0

    def known(self, pipeline: str) -> LineGauge | None:
        """The gauge of a pipeline, if it is known already."""
        return self._gauges.get(pipeline)

    def line(self, pipeline: PipelineName) -> Line:
        """Where a pipeline's applications are published."""
        return self._lines[pipeline]

    def gauge(self, pipeline: PipelineName) -> LineGauge:
        """How full a known pipeline's line is."""
        return self._gauges[pipeline]

    async def find(self, pipeline: str) -> LineGauge:
        """The gauge of a pipeline that a client named; 400 when there is no such pipeline."""
        gauge = self._gauges.get(pipeline)
        if gauge is None:
            await self._learn_anew()
            gauge = self._gauges.get(pipeline)
        if gauge is None:
            raise invalid("There is no such pipeline.", {"field": "pipeline"})
        return gauge

    async def run(self) -> None:
        """Look once a second, for ever."""
        while True:
            try:
                await self.look()
            except ApiError as error:  # Postgres is away; what is known stays
                _log.warning("pipelines_unknown", error=str(error))
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Learn the pipelines and their depths; 503 when Postgres does not answer."""
        await self._learn()
        await asyncio.gather(*(self._measure(name) for name in list(self._gauges)))

    async def _learn_anew(self) -> None:
        """For a pipeline that may be new; at most once a second, whatever clients send."""
        async with self._learning:
            if time.monotonic() - self._learnt_at > _LOOK_SECONDS:
                await self._learn()

    async def _learn(self) -> None:
        for name, capacity in (await self._database.read(pipelines.capacities)).items():
            if name in self._gauges:
                self._gauges[name].capacity = capacity
            else:
                self._lines[name] = Line(self._redis, name)
                self._gauges[name] = LineGauge(name, capacity)
        self._learnt_at = time.monotonic()

    async def _measure(self, name: str) -> None:
        gauge, line = self._gauges[name], self._lines[name]
        asked_after = gauge.tells
        try:
            depth = await line.depth()
        except REDIS_ERRORS:
            await self._count(gauge)
            return
        if gauge.tells == asked_after:
            gauge.tell(depth.total, time.monotonic())
        _export(name, depth)

    async def _count(self, gauge: LineGauge) -> None:
        strayed = gauge.stray_count
        unfinished = await self._database.read(
            lambda connection: applications.unfinished_count(
                connection, gauge.pipeline, limit=gauge.capacity
            )
        )
        gauge.count(unfinished, strayed, time.monotonic())


def _export(name: str, depth: Depth) -> None:
    LINE_WAITING.labels(name).set(depth.waiting)
    LINE_DELIVERED.labels(name).set(depth.delivered)
