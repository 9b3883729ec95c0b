"""Forgets what hiring need not keep: answers to calls with a key, and applicants who are done.

An applicant is done who has no live application, nor one that changed within
``hiring_retention_days``; unless that is set, none is. They are erased by the act that erases on
demand: name, address and payloads go, and the audit, which has none of these, stays whole. Fences
and head snapshots of openings that have ended stay: they are small, and keep replay fast.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import structlog

from shortlist.domain.hiring.audit import SYSTEM
from shortlist.domain.hiring.placement import ApplicantId
from shortlist.hiring import erasure
from shortlist.maintenance.witness import Witness
from shortlist.storage.postgres.queries.hiring import applicants, placements
from shortlist.storage.postgres.queries.hiring.leader import hiring_retention
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.postgres import Connection

PERIOD_SECONDS = 60.0

_PASS_SECONDS = 3600.0
"""Between two passes over all applicants."""

_BATCH = 500
_EVER = dt.datetime.min.replace(tzinfo=dt.UTC)
_FIRST = ApplicantId(0)

log = structlog.get_logger(__name__)


class Retention:
    """Goes over what is old enough, a batch at each turn, and rests half of the time."""

    def __init__(self, desk: LeaderContext) -> None:
        """How long things are kept is in the settings."""
        self._desk = desk
        self._answers_kept = dt.timedelta(hours=desk.settings.idempotency_hours)
        self._applicants_kept = dt.timedelta(days=desk.settings.hiring_retention_days)
        kept = [self._answers_kept, self._applicants_kept or self._answers_kept]
        self._witness = Witness("hiring retention", min(kept))
        self._answers_from = _EVER
        self._applicants_behind = _FIRST
        self._next_pass = time.monotonic()

    async def turn(self) -> float:
        """Remove a batch of each; how many seconds to rest."""
        began = time.monotonic()
        async with self._desk.writing() as connection:
            now = await self._witness.time(connection)
            more = await self._remove_answers(connection, now - self._answers_kept)
        if self._applicants_kept and began >= self._next_pass:
            more = await self._erase_applicants(now - self._applicants_kept) or more
        return time.monotonic() - began if more else PERIOD_SECONDS

    async def _remove_answers(self, connection: Connection, before: dt.datetime) -> bool:
        """From where the last batch ended: behind it lie only dead rows, until a vacuum."""
        removed, until = await hiring_retention.remove_answers(
            connection, after=self._answers_from, before=before, limit=_BATCH
        )
        metrics.HIRING_RETAINED.labels("answers").inc(removed)
        self._answers_from = until or _EVER
        return until is not None

    async def _erase_applicants(self, before: dt.datetime) -> bool:
        async with self._desk.connection() as connection:
            found = await hiring_retention.applicants_done(
                connection, after=self._applicants_behind, before=before, limit=_BATCH
            )
        erased = sum([await self._erase(applicant) for applicant in found.done])
        metrics.HIRING_RETAINED.labels("applicants").inc(erased)
        if erased:
            log.info("applicants_erased", applicants=erased)
        more = found.looked_at == _BATCH and found.last is not None
        self._applicants_behind = found.last if more and found.last is not None else _FIRST
        if not more:
            self._next_pass = time.monotonic() + _PASS_SECONDS
        return more

    async def _erase(self, applicant: ApplicantId) -> bool:
        """Erase an applicant, unless they have just applied; whether they were.

        The lock comes first: an application that begins now waits for it, and finds no applicant.
        """
        self._desk.goes_on()
        async with self._desk.writing() as connection:
            there = await applicants.lock(connection, applicant)
            if not there or await placements.live_of(connection, applicant):
                return False
            return await erasure.erase(connection, applicant, SYSTEM)
