"""Puts what was committed on the line, one round trip for each group of a pipeline.

No client waits for it. When Redis does not take a group it is dropped, and with it what waits
behind it: the rows are there, and the sweep finds them. So Redis, dead or hung, costs an accept
nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import structlog

from shortlist.runtime.failpoints import failpoint
from shortlist.storage.redis.line import Entry
from shortlist.storage.trouble import Trouble
from shortlist.telemetry.metrics import PUBLISH_FAILURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shortlist.domain.line.application import ApplicationId, NewApplication, PipelineName
    from shortlist.ingest.admission.line_registry import LineRegistry

_MOST_WAITING = 20_000
"""Entries of a pipeline that wait for Redis; a healthy one takes as many in less than a second."""

_log = structlog.get_logger(__name__)


class _Waiting(NamedTuple):
    """What is published of an application; without its text, of which much could wait."""

    id: ApplicationId
    traceparent: str | None


class Publisher:
    """Publishes in the order of the commits; each pipeline by itself.

    In a Redis Cluster a pipeline's node may be away, or frozen: the others' are not kept waiting.
    """

    def __init__(self, lines: LineRegistry) -> None:
        """``lines``: where to publish."""
        self._lines = lines
        self._lanes: dict[PipelineName, _Lane] = {}

    def publish(self, accepted: Sequence[NewApplication]) -> None:
        """Publish soon, or never; returns at once."""
        for application in accepted:
            self._lane(application.pipeline).add(application)
        for lane in self._lanes.values():
            lane.wake()

    async def finish(self) -> None:
        """Wait until everything was published or dropped."""
        await asyncio.gather(*(lane.finish() for lane in self._lanes.values()))

    def _lane(self, pipeline: PipelineName) -> _Lane:
        if pipeline not in self._lanes:
            self._lanes[pipeline] = _Lane(self._lines, pipeline)
        return self._lanes[pipeline]


class _Lane:
    """Publishes the applications of one pipeline, one round trip at a time."""

    def __init__(self, lines: LineRegistry, pipeline: PipelineName) -> None:
        self._lines = lines
        self._pipeline = pipeline
        self.waiting: list[_Waiting] = []
        self.task: asyncio.Task[None] | None = None
        self._trouble = Trouble("publishing", "redis")

    def add(self, application: NewApplication) -> None:
        """Have it published by the next round trip."""
        self.waiting.append(_Waiting(application.id, application.traceparent))

    def wake(self) -> None:
        """Begin a round trip when something waits and none is under way."""
        if len(self.waiting) > _MOST_WAITING:
            self._drop(self._take(), "too many wait")
        elif self.task is None and self.waiting:
            self.task = asyncio.create_task(self._run())

    async def finish(self) -> None:
        """Wait until everything was published or dropped."""
        while self.task is not None:
            await asyncio.wait([self.task])

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)  # the answers go first: twice, because they wait for
            await asyncio.sleep(0)  # the end of a turn of the loop to be written
            while group := self._take():
                await failpoint("ingest.after_answer")
                await self._publish(group)
                await failpoint("ingest.after_publish")
        finally:
            self.task = None

    def _take(self) -> list[_Waiting]:
        group, self.waiting = self.waiting, []
        return group

    async def _publish(self, group: list[_Waiting]) -> None:
        try:
            entries = [Entry(a.id, a.traceparent) for a in group]
            await self._lines.publish(self._pipeline, entries)
        except Exception as error:  # the rows are there: the sweep finds them
            self._trouble.met(error)
            self._drop(group + self._take(), repr(error))
        else:
            self._trouble.over()

    def _drop(self, dropped: list[_Waiting], why: str) -> None:
        self._lines.leave_to_sweep(self._pipeline, [application.id for application in dropped])
        PUBLISH_FAILURES.inc(len(dropped))
        _log.warning("publish_failed", pipeline=self._pipeline, count=len(dropped), error=why)
