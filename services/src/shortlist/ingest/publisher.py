"""Puts what was committed on the line, one Redis pipeline per group and pipeline name.

Nobody waits for it. When Redis does not take a group it is dropped, and with it what waits behind
it: the rows are there, and the sweep finds them. So Redis, dead or hung, costs an accept nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import structlog

from shortlist.failpoints import failpoint
from shortlist.storage.line import Entry
from shortlist.storage.trouble import Trouble
from shortlist.telemetry import PUBLISH_FAILURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shortlist.domain.application import ApplicationId, NewApplication, PipelineName
    from shortlist.ingest.lines import Lines

_MOST_WAITING = 20_000
"""Entries that wait for Redis; a healthy one takes as many in less than a second."""

_log = structlog.get_logger(__name__)


class _Waiting(NamedTuple):
    """What the line is told of an application; without its text, of which much could wait."""

    id: ApplicationId
    pipeline: PipelineName
    traceparent: str | None


class Publisher:
    """Publishes in the order of the commits, one round trip at a time."""

    def __init__(self, lines: Lines) -> None:
        """``lines``: where to publish, and who wants to know the depth."""
        self._lines = lines
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None
        self._trouble = Trouble("publishing", "redis")

    def publish(self, accepted: Sequence[NewApplication]) -> None:
        """Publish soon, or never; returns at once."""
        self._waiting += [_Waiting(a.id, a.pipeline, a.traceparent) for a in accepted]
        if len(self._waiting) > _MOST_WAITING:
            self._drop(self._take(), "too many wait")
        elif self._task is None and self._waiting:
            self._task = asyncio.create_task(self._run())

    async def finish(self) -> None:
        """Wait until everything was published or dropped."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)  # the answers go first: twice, because they wait for
            await asyncio.sleep(0)  # the end of a turn of the loop to be written
            while group := self._take():
                await failpoint("ingest.after_answer")
                await self._publish(group)
                await failpoint("ingest.after_publish")
        finally:
            self._task = None

    def _take(self) -> list[_Waiting]:
        group, self._waiting = self._waiting, []
        return group

    async def _publish(self, group: list[_Waiting]) -> None:
        by_pipeline: dict[PipelineName, list[_Waiting]] = {}
        for application in group:
            by_pipeline.setdefault(application.pipeline, []).append(application)
        for pipeline, some in by_pipeline.items():
            try:
                entries = [Entry(a.id, a.traceparent) for a in some]
                depth = await self._lines.line(pipeline).publish(entries)
            except Exception as error:  # noqa: BLE001 (the rows are there: the sweep finds them)
                self._trouble.met(error)
                self._drop(some + self._take(), repr(error))
            else:
                self._trouble.over()
                gauge = self._lines.gauge(pipeline)
                gauge.published([a.id for a in some], depth.total, time.monotonic())

    def _drop(self, dropped: list[_Waiting], why: str) -> None:
        now = time.monotonic()
        for application in dropped:
            self._lines.gauge(application.pipeline).strayed([application.id], now)
        PUBLISH_FAILURES.inc(len(dropped))
        _log.warning("publish_failed", count=len(dropped), error=why)
