"""Reads from Postgres, gathered: what is asked while a query runs is one query, the next.

Every answer is the truth: its query starts after it was asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.batching import Batcher
from shortlist.storage import applications

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from shortlist.domain.application import ApplicationId, ApplicationView, PipelineName
    from shortlist.ingest.database import Database
    from shortlist.storage.applications import RankedApplication
    from shortlist.storage.postgres import Connection

_OVERLAP = 2
"""As with commits: one's round trip hides the other's decoding."""


class Reader:
    """What clients ask about applications. Everything raises 503 when Postgres does not answer."""

    def __init__(self, database: Database) -> None:
        """``database`` needs at least as many connections as queries overlap."""
        self._database = database
        self._views = Batcher(self._read_views, overlap=_OVERLAP)
        self._leaderboards = Batcher(self._read_leaderboards)

    def view(self, application_id: ApplicationId) -> Awaitable[ApplicationView | None]:
        """One application as it is now; None when it is unknown."""
        return self._views.submit(application_id)

    def leaderboard(self, pipeline: PipelineName, limit: int) -> Awaitable[list[RankedApplication]]:
        """Best first. Those who ask for the same at the same time share a query."""
        return self._leaderboards.submit((pipeline, limit))

    async def _read_views(self, ids: list[ApplicationId]) -> list[ApplicationView | None]:
        async def read(connection: Connection) -> dict[ApplicationId, ApplicationView]:
            return await applications.views(connection, set(ids))

        found = await self._database.read(read)
        return [found.get(application_id) for application_id in ids]

    async def _read_leaderboards(
        self, wanted: list[tuple[PipelineName, int]]
    ) -> list[list[RankedApplication]]:
        async def read(
            connection: Connection,
        ) -> dict[tuple[PipelineName, int], list[RankedApplication]]:
            return {
                key: await applications.leaderboard(connection, *key)
                for key in dict.fromkeys(wanted)
            }

        found = await self._database.read(read)
        return [found[key] for key in wanted]
