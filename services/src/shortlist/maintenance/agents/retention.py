"""Removes, or archives, what was finished long ago, and idempotency keys that have expired.

In batches that one transaction each removes, oldest first; half of the time it rests, so that
removing is never in the way of accepting and scoring.

What is old is decided by Postgres's clock, and as a removal cannot be undone, by more than that:
the id must be as old as the time beside it (ids only grow, whatever a clock does), and the clock
counts no further than time has been witnessed to pass (`maintenance.witness`).
"""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import structlog

from shortlist.domain.line.application import lowest_id_at
from shortlist.domain.line.sweep import NOTHING
from shortlist.maintenance.witness import Witness
from shortlist.storage.postgres.queries import retention
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from uuid import UUID

    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.postgres import Connection

PERIOD_SECONDS = 60.0

_BATCH = 500
_EVER = dt.datetime.min.replace(tzinfo=dt.UTC)

log = structlog.get_logger(__name__)


class Retention:
    """Goes once over what is old enough, then rests."""

    def __init__(self, desk: LeaderContext) -> None:
        """How long things are kept is in the settings."""
        self._desk = desk
        self._settings = desk.settings
        self._applications_behind: UUID = NOTHING
        self._keys_from = _EVER
        self._keys_kept = dt.timedelta(hours=desk.settings.idempotency_hours)
        # Nothing goes before its idempotency key has expired.
        self._kept = max(dt.timedelta(days=desk.settings.retention_days), self._keys_kept)
        self._witness = Witness("retention", self._keys_kept)

    async def turn(self) -> float:
        """Remove one batch of each; how many seconds to rest."""
        started = time.monotonic()
        async with self._desk.writing() as connection:
            now = await self._witness.time(connection)
            more = await self._remove_keys(connection, now)
        if self._settings.retention_days:
            more = await self._remove_applications(now - self._kept) or more
        return time.monotonic() - started if more else PERIOD_SECONDS

    async def _remove_applications(self, before: dt.datetime) -> bool:
        async with self._desk.connection() as connection:
            ids = await retention.oldest(
                connection, self._applications_behind, _lowest_id(before), _BATCH
            )
        if ids:
            action = self._settings.retention_action
            async with self._desk.writing() as connection:
                removed = await retention.remove_finished(
                    connection, ids, before=before, archive=action == "archive"
                )
            metrics.RETAINED.labels(action).inc(removed)
            log.debug("removed", applications=removed, action=action)
        more = len(ids) == _BATCH
        self._applications_behind = ids[-1] if more else NOTHING
        return more

    async def _remove_keys(self, connection: Connection, now: dt.datetime) -> bool:
        """From where the last batch ended: behind it lie only dead rows, until a vacuum."""
        expired = now - self._keys_kept
        removed_to = await retention.remove_idempotency_keys(
            connection,
            after=self._keys_from,
            before=expired,
            below=_lowest_id(expired),
            limit=_BATCH,
        )
        self._keys_from = removed_to or _EVER
        return removed_to is not None


def _lowest_id(at: dt.datetime) -> UUID:
    return lowest_id_at(int(at.timestamp() * 1000))
