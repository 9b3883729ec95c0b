"""Publishes retries when they are due, to the tenth of a second.

A retry leaves the table in the transaction that publishes it: when this process dies in between,
it is published twice, never not at all.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

from shortlist.maintenance.agents.publish import BATCH, publish
from shortlist.maintenance.apart import Apart
from shortlist.storage.postgres.queries import retries

if TYPE_CHECKING:
    from shortlist.domain.line.application import PipelineName
    from shortlist.maintenance.agents.sweep import Sweeps
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.redis.line import Line

POLL_INTERVAL_SECONDS = 0.1
"""At most so long until the next look: a retry may be scheduled that is due before all others."""

_LATE_SECONDS = 60.0
"""Below this age all are taken: none is committed so long after its due time, but for a stall. Once
in so long all are looked at."""


class Retries:
    """Sleeps until the next retry is due, and puts it before all newcomers."""

    def __init__(self, desk: LeaderContext, sweeps: Sweeps) -> None:
        """``sweeps`` are told what was published, and watch over it from then on."""
        self._desk = desk
        self._sweeps = sweeps
        self._apart = Apart("retries")
        self._behind = retries.EVER
        self._read_all_at = time.monotonic()

    async def turn(self) -> float:
        """Publish what is due; how many seconds to sleep."""
        if time.monotonic() - self._read_all_at > _LATE_SECONDS:
            self._behind, self._read_all_at = retries.EVER, time.monotonic()
        async with self._desk.connection() as connection:
            now, seconds = await retries.next_due(connection, self._behind)
        if now < self._behind:  # Postgres's clock was set back
            self._behind = retries.EVER
            return 0.0
        if seconds is not None and seconds <= 0:
            return 0.0 if await self._publish_due() else POLL_INTERVAL_SECONDS
        self._behind = max(self._behind, now - dt.timedelta(seconds=_LATE_SECONDS))
        return POLL_INTERVAL_SECONDS if seconds is None else min(POLL_INTERVAL_SECONDS, seconds)

    async def _publish_due(self) -> bool:
        """Publish a batch of each pipeline that has some; whether there may be more."""
        async with self._desk.connection() as connection:
            due = await retries.pipelines_due(connection, self._behind)
        full: list[PipelineName] = []

        async def step(line: Line) -> None:
            if await self._publish_due_of(line) == BATCH:
                full.append(line.pipeline)

        await self._apart.each(map(self._desk.line, due), step)
        return bool(full)

    async def _publish_due_of(self, line: Line) -> int:
        sweep = await self._sweeps.of(line.pipeline)
        async with self._desk.writing() as connection:
            entries = await retries.take_due(connection, line.pipeline, self._behind, BATCH)
            await publish(line, entries, why="retry", first=True)
            if sweep is not None:
                sweep.memory.watch(entry.application_id for entry in entries)
        return len(entries)
