"""Notices that Redis lost a pipeline's memory, and publishes its unfinished again, by id."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from shortlist.domain.line.sweep import Urgency
from shortlist.storage.redis import generation
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from shortlist.domain.line.application import PipelineName
    from shortlist.maintenance.agents.sweep import Sweep
    from shortlist.maintenance.context import LeaderContext

log = structlog.get_logger(__name__)


class RedisLoss:
    """Watches the epoch key of each pipeline; restores the line when it is not as it was."""

    def __init__(self, desk: LeaderContext) -> None:
        """Leave the publishing to the sweep of each pipeline."""
        self._desk = desk
        self._had: set[PipelineName] = set()

    async def restore_if_lost(self, sweep: Sweep) -> None:
        """Leave with everything unfinished in the line, or raise; to be tried again then."""
        memory = await generation.memory(self._desk.redis, sweep.pipeline)
        if memory == "whole":
            self._had.add(sweep.pipeline)
        else:
            await self._restore(sweep, memory)

    async def _restore(self, sweep: Sweep, memory: generation.Memory) -> None:
        redis, pipeline, this = self._desk.redis, sweep.pipeline, uuid4()
        before = sweep.republished
        async with self._desk.writing():
            await generation.begin_restoring(redis, pipeline, this)
        sweep.start_anew()
        await sweep.line.ensure_group()
        await sweep.run(Urgency(everything=True))
        republished = sweep.republished - before
        complete = await generation.finish_restoring(redis, pipeline, this)
        if republished or (memory == "gone" and pipeline in self._had):  # else it is just new
            metrics.REDIS_LOST.inc()
            log.warning(
                "redis_lost_its_memory",
                pipeline=pipeline,
                memory=memory,
                republished=republished,
                complete=complete,
            )
        if complete:
            self._had.add(pipeline)
        else:
            self._had.discard(pipeline)
