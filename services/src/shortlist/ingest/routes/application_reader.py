"""Reads from Postgres, gathered: what is asked while a query runs is one query, the next.

Every answer is the truth: its query starts after it was asked for. And each comes in time, counted
from when its request began.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shortlist.storage.deadline_batcher import Asked, DeadlineBatcher
from shortlist.storage.postgres.queries import applications

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from shortlist.domain.line.application import ApplicationId, ApplicationView, PipelineName
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.database import Database
    from shortlist.storage.postgres.queries.applications import RankedApplication

_OVERLAP = 2
"""As with commits: one's round trip hides the other's decoding."""


class ApplicationReader:
    """What clients ask about applications. Everything raises 503 when Postgres does not answer."""

    def __init__(self, database: Database) -> None:
        """``database`` needs at least as many connections as queries overlap."""
        self._database = database
        timeout = database.timeout_seconds
        self._views = DeadlineBatcher(self._read_views, timeout_seconds=timeout, overlap=_OVERLAP)
        self._leaderboards = DeadlineBatcher(self._read_leaderboards, timeout_seconds=timeout)

    def view(
        self, application_id: ApplicationId, since: float | None = None
    ) -> Awaitable[ApplicationView | None]:
        """Read one application as it is now; None when it is unknown.

        ``since``: when the request began (monotonic seconds); None: now.
        """
        return self._views.submit(application_id, since or time.monotonic())

    def leaderboard(
        self, pipeline: PipelineName, limit: int, since: float | None = None
    ) -> Awaitable[list[RankedApplication]]:
        """Read the best, best first. Calls for the same at the same time share a query."""
        return self._leaderboards.submit((pipeline, limit), since or time.monotonic())

    async def _read_views(
        self, asked: list[Asked[ApplicationId]], deadline: float
    ) -> list[ApplicationView | None]:
        async def read(connection: Connection) -> dict[ApplicationId, ApplicationView]:
            return await applications.views(connection, {one.item for one in asked})

        found = await self._database.run(read, deadline)
        return [found.get(one.item) for one in asked]

    async def _read_leaderboards(
        self, asked: list[Asked[tuple[PipelineName, int]]], deadline: float
    ) -> list[list[RankedApplication]]:
        async def read(
            connection: Connection,
        ) -> dict[tuple[PipelineName, int], list[RankedApplication]]:
            return {
                key: await applications.leaderboard(connection, *key)
                for key in dict.fromkeys(one.item for one in asked)
            }

        found = await self._database.run(read, deadline)
        return [found[one.item] for one in asked]
