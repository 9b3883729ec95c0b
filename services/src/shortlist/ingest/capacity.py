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
from uuid_utils.compat import uuid7

from shortlist.failpoints import guarded
from shortlist.ingest.errors import ApiError, invalid, rate_limited
from shortlist.ingest.quota import Quota
from shortlist.storage import applications, pipelines
from shortlist.storage.line import Depth, Line
from shortlist.storage.redis import REDIS_REFUSALS
from shortlist.telemetry import LINE_DELIVERED, LINE_WAITING, REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from shortlist.domain.application import ApplicationId, PipelineName
    from shortlist.ingest.database import Database
    from shortlist.storage.redis import Redis

_LOOK_SECONDS = 1.0

_LEARN_AGAIN_SECONDS = 0.1
"""How soon a pipeline that was just made is found; ten small queries a second cost nothing."""

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
        self._counted = 0  # by Postgres, in place of Redis
        # Not yet in what was told or counted, oldest first (ids are times):
        self._under_way: dict[ApplicationId, None] = {}
        self._strays: dict[ApplicationId, None] = {}  # accepted, but not published
        self._trusted_at = 0.0

    @property
    def depth(self) -> int:
        """The estimate."""
        known = max(self._told, self._counted)
        return known + len(self._under_way) + len(self._strays)

    def enter(self, application_id: ApplicationId) -> None:
        """Take a place; 429 when there is none."""
        if self.depth >= self.capacity and guarded("line_capacity"):
            REFUSED.labels("line_full").inc()
            raise rate_limited("The line is full.", _RETRY_AFTER_SECONDS)
        self._under_way[application_id] = None

    def leave(self, application_id: ApplicationId) -> None:
        """Give a place back: what took it was not accepted as new."""
        self._under_way.pop(application_id, None)

    def published(self, ids: Iterable[ApplicationId], depth: int, now: float) -> None:
        """Some that entered are in the line now, which is ``depth`` long with them."""
        for application_id in ids:
            self._under_way.pop(application_id, None)
            self._counted += 1
        self.tell(depth, now)

    def strayed(self, ids: Iterable[ApplicationId], now: float) -> None:
        """Some that entered are accepted but not in the line; the sweep will find them."""
        for application_id in ids:
            self._under_way.pop(application_id, None)
            self._strays[application_id] = None
        self.distrust(now)

    def distrust(self, now: float) -> None:
        """What Redis tells is not all there is, until the sweep has told it the rest."""
        self._trusted_at = now + _SWEPT_SECONDS

    def trusts(self, now: float) -> bool:
        """Whether what Redis tells is all there is."""
        return now >= self._trusted_at

    def tell(self, depth: int, now: float) -> None:
        """Redis says how long the line is."""
        self.tells += 1
        self._told = depth
        if self.trusts(now):
            self._counted = 0
            self._strays.clear()

    def oldest_under_way(self) -> ApplicationId | None:
        """Whatever of ours is older is either a stray or not in question any more."""
        return next(iter(self._under_way), None)

    def count(self, unfinished: int, before: UUID) -> None:
        """Postgres says how many with an id below ``before`` are unfinished."""
        self._counted = unfinished
        self._strays = {i: None for i in self._strays if i >= before}

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
        """For a pipeline that may be new; at most ten times a second, whatever clients send."""
        async with self._learning:
            if time.monotonic() - self._learnt_at > _LEARN_AGAIN_SECONDS:
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
        except REDIS_REFUSALS:
            gauge.distrust(time.monotonic())
        else:
            if gauge.tells == asked_after:
                gauge.tell(depth.total, time.monotonic())
            _export(name, depth)
        if not gauge.trusts(time.monotonic()):
            await self._count(gauge)

    async def _count(self, gauge: LineGauge) -> None:
        before = gauge.oldest_under_way() or uuid7()
        unfinished = await self._database.read(
            lambda connection: applications.unfinished_count(
                connection, gauge.pipeline, before=before, limit=gauge.capacity
            )
        )
        gauge.count(unfinished, before)


def _export(name: str, depth: Depth) -> None:
    LINE_WAITING.labels(name).set(depth.waiting)
    LINE_DELIVERED.labels(name).set(depth.delivered)
