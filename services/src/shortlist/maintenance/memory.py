"""Notices that Redis lost its memory, and publishes everything unfinished again, by id."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from shortlist import telemetry
from shortlist.domain.sweep import Urgency
from shortlist.failpoints import guarded
from shortlist.storage import epoch

if TYPE_CHECKING:
    from shortlist.maintenance.desk import Desk
    from shortlist.maintenance.sweep import Sweeps

log = structlog.get_logger(__name__)


class RedisMemory:
    """Watches the epoch key; restores the line when it is gone."""

    def __init__(self, desk: Desk, sweeps: Sweeps) -> None:
        """``sweeps`` do the publishing."""
        self._desk = desk
        self._sweeps = sweeps
        self._had_it = False

    async def restore_if_lost(self) -> None:
        """Leave with everything unfinished in the line, or raise; to be tried again then."""
        if await epoch.remembers(self._desk.redis):
            self._had_it = True
        elif guarded("sweep"):
            await self._restore()

    async def _restore(self) -> None:
        this = uuid4()
        before = sum(sweep.republished for sweep in self._sweeps)
        async with self._desk.writing():
            await epoch.begin_restoring(self._desk.redis, this)
        for sweep in self._sweeps:
            sweep.start_anew()
            await sweep.line.ensure_group()
        await self._sweeps.run(Urgency(everything=True))
        republished = sum(sweep.republished for sweep in self._sweeps) - before
        complete = await epoch.finish_restoring(self._desk.redis, this)
        if self._had_it or republished:  # else this Redis is just new
            telemetry.REDIS_LOST.inc()
            log.warning("redis_lost_its_memory", republished=republished, complete=complete)
        self._had_it = complete
