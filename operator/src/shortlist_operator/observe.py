"""Looks at a line, its workers and Postgres's connections; decides nothing.

The only thing it writes: that there is such a pipeline, so that ingest accepts for it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from shortlist.storage import postgres, redis, snapshots
from shortlist.storage.postgres.queries import pipelines
from shortlist.storage.postgres.reopening import ReopeningConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shortlist.domain.line.application import PipelineName
    from shortlist.domain.sizing.pipeline import ScoringPipeline
    from shortlist.urls import DatabaseUrl

QUERY_TIMEOUT_SECONDS = 2.0
_SUPERVISOR = "shortlist-operator"


@dataclass
class Observer:
    """One Redis client and one Postgres connection, shared by all pipelines of an operator."""

    database_url: DatabaseUrl | str
    redis: redis.Redis
    server: str = ""
    """Which run of Postgres the connection is to."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _memories: dict[PipelineName, snapshots.LineMemory] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Connect when first used, and again after a break."""
        opened = partial(postgres.connect, self.database_url, application_name=_SUPERVISOR)
        self._connection = ReopeningConnection(opened, self._learn_server)

    async def line(self, pipeline: PipelineName) -> snapshots.LineSnapshot:
        """Read the line and the heartbeats."""
        async with asyncio.timeout(QUERY_TIMEOUT_SECONDS):
            memory = self._memories.setdefault(pipeline, snapshots.LineMemory())
            return await snapshots.read_line(self.redis, pipeline, memory)

    async def connections(self) -> snapshots.ConnectionsSnapshot:
        """Read the limits and the connections that each worker holds."""
        async with self._postgres() as connection:
            return await snapshots.read_connections(connection)

    async def make_known(self, pipeline: ScoringPipeline) -> None:
        """Tell Postgres of a pipeline and its capacity."""
        async with self._postgres() as connection:
            await pipelines.configure(connection, pipeline.name, pipeline.line.capacity)

    @asynccontextmanager
    async def _postgres(self) -> AsyncIterator[postgres.Connection]:
        """Lend the connection to one at a time; whatever goes wrong, the next gets a new one."""
        async with asyncio.timeout(QUERY_TIMEOUT_SECONDS), self._turn:
            try:
                yield await self._connection.get()
            except BaseException:
                self._connection.terminate()
                raise

    async def _learn_server(self, connection: postgres.Connection) -> None:
        self.server = await postgres.server_run(connection)

    async def close(self) -> None:
        """Give back what it holds."""
        await self.redis.aclose()
        await self._connection.close()
