"""Removes, or archives, what was finished long ago, and idempotency keys that have expired.

In batches that one transaction each removes, oldest first; half of the time it rests, so that
removing is never in the way of accepting and scoring.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import structlog

from shortlist import telemetry
from shortlist.domain.application import lowest_id_at
from shortlist.domain.sweep import NOTHING
from shortlist.storage import retention

if TYPE_CHECKING:
    from uuid import UUID

    from shortlist.maintenance.desk import Desk

PERIOD_SECONDS = 60.0

_BATCH = 500
_EVER = dt.datetime.min.replace(tzinfo=dt.UTC)

log = structlog.get_logger(__name__)


class Retention:
    """Goes once over what is old enough, then rests."""

    def __init__(self, desk: Desk) -> None:
        """How long things are kept is in the settings."""
        self._desk = desk
        self._settings = desk.settings
        self._applications_behind: UUID = NOTHING
        self._keys_from = _EVER

    async def turn(self) -> float:
        """Remove one batch of each; how many seconds to rest."""
        started = time.monotonic()
        more = await self._remove_keys()
        if self._settings.retention_days:
            more = await self._remove_applications() or more
        return time.monotonic() - started if more else PERIOD_SECONDS

    async def _remove_applications(self) -> bool:
        before = self._keep_from()
        below = lowest_id_at(int(before.timestamp() * 1000))
        async with self._desk.connection() as connection:
            ids = await retention.oldest(connection, self._applications_behind, below, _BATCH)
        if ids:
            action = self._settings.retention_action
            async with self._desk.writing() as connection:
                removed = await retention.remove_finished(
                    connection, ids, before=before, archive=action == "archive"
                )
            telemetry.RETAINED.labels(action).inc(removed)
            log.debug("removed", applications=removed, action=action)
        more = len(ids) == _BATCH
        self._applications_behind = ids[-1] if more else NOTHING
        return more

    def _keep_from(self) -> dt.datetime:
        """What was finished earlier goes; never before its idempotency key has expired."""
        kept = max(
            dt.timedelta(days=self._settings.retention_days),
            dt.timedelta(hours=self._settings.idempotency_hours),
        )
        return dt.datetime.now(dt.UTC) - kept

    async def _remove_keys(self) -> bool:
        """From where the last batch ended: behind it lie only dead rows, until a vacuum."""
        expired = dt.datetime.now(dt.UTC) - dt.timedelta(hours=self._settings.idempotency_hours)
        async with self._desk.writing() as connection:
            removed_to = await retention.remove_idempotency_keys(
                connection, after=self._keys_from, before=expired, limit=_BATCH
            )
        self._keys_from = removed_to or _EVER
        return removed_to is not None
