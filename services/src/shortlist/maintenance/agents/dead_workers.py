"""Notices within a quarter of a second that a worker died, and has its work found at once.

Promise 3: what a dead worker held is being scored again within 2 s (perJob: its connections drop
with it) or 5 s (perWrite: its lease of 3 s runs out first).
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple

import structlog

from shortlist.domain.line.sweep import Urgency
from shortlist.maintenance.agents.sweep import MOST_HELD
from shortlist.maintenance.apart import Apart
from shortlist.storage.postgres import ServerClock
from shortlist.storage.postgres.queries import workers
from shortlist.storage.redis import heartbeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from shortlist.domain.line.application import ApplicationId, PipelineName, WorkerId
    from shortlist.maintenance.agents.sweep import Sweeps
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.redis.line import Line

POLL_INTERVAL_SECONDS = 0.25

_CONFIRM_SECONDS = 0.1
"""A worker must look dead twice, so far apart: its connection may have just broken."""

_PATIENCE_SECONDS = 1.5
"""The same while our own connections break: then so do those of workers, which are well and come
back within a second. Or when Postgres's clock was set: then leases end at once, and are renewed
within a second. Their work would be scored twice for nothing."""

log = structlog.get_logger(__name__)


class _Crowd(NamedTuple):
    """Workers of one pipeline that are dead."""

    pipeline: PipelineName
    dead: set[WorkerId]


class DeadWorkers:
    """Looks for dead workers, rescues what they held, forgets them when nothing is left."""

    def __init__(
        self, desk: LeaderContext, sweeps: Sweeps, seconds_since_a_break: Callable[[], float]
    ) -> None:
        """``seconds_since_a_break``: since one of our own connections broke."""
        self._desk = desk
        self._sweeps = sweeps
        self._seconds_since_a_break = seconds_since_a_break
        self._apart = Apart("dead workers")
        self._dead_since: dict[WorkerId, float] = {}
        self._reported: set[WorkerId] = set()
        self._clock: ServerClock | None = None
        self._set_at = -math.inf

    async def turn(self) -> float | None:
        """Put back what dead workers held; return how soon to look again, when not as always."""
        async with self._desk.connection() as connection:
            clock, before = await ServerClock.read(connection), self._clock
            dead = await workers.dead(connection)
        now, self._clock = time.monotonic(), clock
        if before is not None and clock.was_set_since(before):
            log.warning("postgres_clock_was_set", now=clock.server.isoformat())
            self._set_at = now
        self._dead_since = {worker: self._dead_since.get(worker, now) for worker in dead}
        self._reported &= dead.keys()
        if self._desk.workers_may_be_late:
            return None
        trouble_seconds = min(self._seconds_since_a_break(), now - self._set_at)
        patient = trouble_seconds < _PATIENCE_SECONDS
        confirm_seconds = _PATIENCE_SECONDS if patient else _CONFIRM_SECONDS
        confirmed: dict[PipelineName, set[WorkerId]] = {}
        for worker, since in self._dead_since.items():
            if now - since >= confirm_seconds:
                confirmed.setdefault(dead[worker], set()).add(worker)
        crowds = [_Crowd(*of_one) for of_one in confirmed.items()]
        await self._apart.each(crowds, self._rescue)
        all_confirmed = sum(map(len, confirmed.values())) == len(dead)
        return None if all_confirmed else _CONFIRM_SECONDS

    async def _rescue(self, crowd: _Crowd) -> None:
        pipeline, dead = crowd
        if new := dead - self._reported:
            log.warning("workers_died", pipeline=pipeline, workers=[str(w) for w in new])
            self._reported |= new
        line, holders = self._desk.line(pipeline), set()
        if (sweep := await self._sweeps.of(pipeline)) is not None:
            delivered = await self._delivered_to(line, dead)
            holders = await sweep.run(Urgency(ids=delivered, dead=dead))
        await self._forget(line, dead - holders)

    async def _delivered_to(self, line: Line, dead: set[WorkerId]) -> set[ApplicationId]:
        """Find what they were given and did not acknowledge, whether claimed or finished or not."""
        return {
            application_id
            for worker_id in dead
            for stream in (line.again, line.line)
            for _, application_id in await line.pending(
                stream, consumer=str(worker_id), count=MOST_HELD
            )
            if application_id is not None
        }

    async def _forget(self, line: Line, gone: set[WorkerId]) -> None:
        """They hold nothing any more, and all that they ever held was found."""
        if not gone:
            return
        async with self._desk.writing() as connection:
            await workers.forget(connection, gone)
        for worker_id in gone:
            for stream in (line.again, line.line):
                await line.forget_consumer(stream, str(worker_id))
            await heartbeats.leave(self._desk.redis, line.pipeline, worker_id)
