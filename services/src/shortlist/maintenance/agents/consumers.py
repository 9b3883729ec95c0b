"""Keeps Redis from growing: entries, readers and reports of workers that are gone.

What dies in the ordinary way is cleaned up by ``dead_workers``. This finds the rest: readers whose
worker Postgres does not know, entries whose acknowledgement got lost, heartbeats, grants and orders
to drain of workers that are not registered.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from shortlist.domain.line.sweep import Urgency
from shortlist.maintenance.agents.sweep import MOST_HELD
from shortlist.maintenance.apart import Apart
from shortlist.storage.postgres.queries import recovery, workers
from shortlist.storage.redis import heartbeats

if TYPE_CHECKING:
    from shortlist.domain.line.application import PipelineName
    from shortlist.maintenance.agents.sweep import Sweep, Sweeps
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.redis.line import Line

POLL_INTERVAL_SECONDS = 5.0

_GONE_SECONDS = 10.0
"""A reader asks each second, and is registered before it asks: this long unknown, it is gone."""

_SETTLED_SECONDS = 60.0
"""An entry of a finished application that was delivered so long ago has no worker left that would
acknowledge it: a live one does within seconds."""

log = structlog.get_logger(__name__)


class Consumers:
    """Drops what no worker stands behind any more."""

    def __init__(self, desk: LeaderContext, sweeps: Sweeps) -> None:
        """``sweeps`` look first at what is about to be dropped."""
        self._desk = desk
        self._sweeps = sweeps
        self._apart = Apart("consumers")
        self._unknown_since: dict[PipelineName, dict[str, float]] = {}

    async def turn(self) -> None:
        """Clean up Redis for every pipeline."""
        await self._apart.each(self._sweeps, self._inspect)

    async def _inspect(self, sweep: Sweep) -> None:
        for stream in (sweep.line.again, sweep.line.line):
            await self._drop_strangers(sweep, stream)
            await self._drop_settled(sweep.line, stream)
        await self._drop_reports(sweep.pipeline)

    async def _drop_strangers(self, sweep: Sweep, stream: str) -> None:
        consumers = await sweep.line.consumers(stream)  # before asking who is registered
        registered = await self._registered(sweep.pipeline)
        for consumer in consumers:
            if consumer.name in registered or consumer.idle_seconds < _GONE_SECONDS:
                continue
            entries = await sweep.line.pending(stream, consumer=consumer.name, count=MOST_HELD)
            await sweep.run(Urgency(ids={i for _, i in entries if i is not None}))
            dropped = await sweep.line.forget_consumer(stream, consumer.name)
            log.info("consumer_dropped", pipeline=sweep.pipeline, entries=dropped)

    async def _drop_settled(self, line: Line, stream: str) -> None:
        entries = await line.pending(stream, idle_seconds=_SETTLED_SECONDS)
        if not entries:
            return
        ids = [application_id for _, application_id in entries if application_id is not None]
        async with self._desk.connection() as connection:
            settled = await recovery.not_unfinished(connection, ids)
        useless = [entry for entry, i in entries if i is None or i in settled]
        if useless:
            await line.forget({stream: useless})
            log.info("entries_dropped", pipeline=line.pipeline, entries=len(useless))

    async def _drop_reports(self, pipeline: PipelineName) -> None:
        """Judge by two looks, because a grant may come before the worker's first heartbeat."""
        mentioned = await heartbeats.mentioned(self._desk.redis, pipeline)
        unknown = mentioned - await self._registered(pipeline)
        now, before = time.monotonic(), self._unknown_since.get(pipeline, {})
        self._unknown_since[pipeline] = {worker: before.get(worker, now) for worker in unknown}
        for worker, since in self._unknown_since[pipeline].items():
            if now - since >= _GONE_SECONDS:
                await heartbeats.leave(self._desk.redis, pipeline, worker)
                log.info("report_dropped", pipeline=pipeline, worker=worker)

    async def _registered(self, pipeline: PipelineName) -> set[str]:
        async with self._desk.connection() as connection:
            return {str(worker) for worker in await workers.registered(connection, pipeline)}
