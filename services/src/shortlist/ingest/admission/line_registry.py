"""The lines of all pipelines: which there are, how long each may get and is.

Looked at once a second; in between, each publishing tells the depth.
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
from shortlist.ingest.timely import Asked, Timely
from shortlist.storage.faults import said
from shortlist.storage.postgres.queries import applications, pipelines
from shortlist.storage.redis.line import Depth, Line
from shortlist.storage.trouble import Trouble
from shortlist.telemetry.metrics import LINE_DELIVERED, LINE_WAITING

if TYPE_CHECKING:
    from collections.abc import Callable

    from shortlist.domain.line.application import PipelineName
    from shortlist.ingest.database import Database
    from shortlist.storage.postgres import ServerClock
    from shortlist.storage.redis import Redis

_LOOK_SECONDS = 1.0

_LEARN_AGAIN_SECONDS = 0.1
"""Between two looks for unknown names; ten small queries a second cost nothing."""

_SHARE = 1 / 2
"""Of the time-out, what finding a pipeline may take: what is asked of it needs the rest."""

_log = structlog.get_logger(__name__)


class Lines:
    """The lines of all pipelines that there are."""

    def __init__(
        self, database: Database, redis: Redis, tell_clock: Callable[[ServerClock], None]
    ) -> None:
        """Knows none before the first `look`. ``tell_clock``: to whom Postgres's time matters."""
        self._database = database
        self._redis = redis
        self._tell_clock = tell_clock
        self.ids = Ids()
        """Makes the ids of what is accepted."""
        self._gauges: dict[str, LineCapacity] = {}
        self._lines: dict[str, Line] = {}
        self._looks = Timely(self._learn_anew, timeout_seconds=database.timeout_seconds * _SHARE)
        self._learnt_at = -math.inf
        self._troubles: dict[str, Trouble] = {}

    def known(self, pipeline: str) -> LineCapacity | None:
        """The gauge of a pipeline, if it is known already."""
        return self._gauges.get(pipeline)

    def line(self, pipeline: PipelineName) -> Line:
        """Where a pipeline's applications are published."""
        return self._lines[pipeline]

    def gauge(self, pipeline: PipelineName) -> LineCapacity:
        """How full a known pipeline's line is."""
        return self._gauges[pipeline]

    async def find(self, pipeline: str, since: float | None = None) -> LineCapacity:
        """The gauge of a pipeline that a client named; 400 when there is no such pipeline.

        ``since``: when the request began (monotonic seconds); None: now. 503 when Postgres does
        not answer; a look that fails answers all who waited for it.
        """
        gauge = self._gauges.get(pipeline)
        if gauge is None:
            await self._looks.submit(None, since or time.monotonic())
            gauge = self._gauges.get(pipeline)
        if gauge is None:
            raise invalid("There is no such pipeline.", {"field": "pipeline"})
        return gauge

    async def run(self) -> None:
        """Look once a second, for ever."""
        while True:
            try:
                await self.look()
            except Exception as error:  # what is known stays; the next look is soon
                _log.warning("pipelines_unknown", error=said(error))
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Learn the pipelines and their depths; 503 when Postgres does not answer."""
        await self._learn(time.monotonic() + self._database.timeout_seconds)
        await asyncio.gather(*(self._measure(name) for name in list(self._gauges)))

    async def _learn_anew(self, asked: list[Asked[None]], deadline: float) -> list[None]:
        """For pipelines that may be new; at most ten times a second, whatever clients send.

        Only a look that began after the asking can know what was made just before it.
        """
        await asyncio.sleep(self._learnt_at + _LEARN_AGAIN_SECONDS - time.monotonic())
        await self._learn(deadline)
        return [None] * len(asked)

    async def _learn(self, deadline: float) -> None:
        began_at = time.monotonic()
        look = await self._database.run(pipelines.look, deadline)
        self.ids.learn(look.clock.at(time.monotonic()), look.newest)
        self._tell_clock(look.clock)
        for name, capacity in look.capacities.items():
            if name in self._gauges:
                self._gauges[name].capacity = capacity
            else:
                self._lines[name] = Line(self._redis, name)
                self._gauges[name] = LineCapacity(name, capacity)
                self._troubles[name] = Trouble("measuring the line", "redis")
        self._learnt_at = max(self._learnt_at, began_at)

    async def _measure(self, name: str) -> None:
        gauge, line, trouble = self._gauges[name], self._lines[name], self._troubles[name]
        asked_after = gauge.tells
        try:
            depth = await line.depth()
        except Exception as error:  # counted in Postgres then
            trouble.met(error)
            gauge.distrust(time.monotonic())
        else:
            trouble.over()
            if gauge.tells == asked_after:
                gauge.tell(depth.total, time.monotonic())
            _export(name, depth)
        if not gauge.trusts(time.monotonic()):
            await self._count(gauge)

    async def _count(self, gauge: LineCapacity) -> None:
        before = gauge.oldest_under_way() or self.ids.next()
        unfinished = await self._database.read(
            lambda connection: applications.unfinished_count(
                connection, gauge.pipeline, before=before, limit=gauge.capacity
            )
        )
        gauge.count(unfinished, before)


def _export(name: str, depth: Depth) -> None:
    LINE_WAITING.labels(name).set(depth.waiting)
    LINE_DELIVERED.labels(name).set(depth.delivered)
