"""Looks at a line, its workers and Postgres's connections. Reads only; decides nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shortlist.storage import looks, postgres, redis

if TYPE_CHECKING:
    from shortlist.domain.application import PipelineName

LOOK_TIMEOUT_SECONDS = 2.0
_SUPERVISOR = "shortlist-operator"


@dataclass
class Observer:
    """One Redis client and one Postgres connection, shared by all pipelines of an operator."""

    database_url: str
    redis: redis.Redis
    _connection: postgres.Connection | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def line(self, pipeline: PipelineName) -> looks.LineLook:
        """Read the line and the heartbeats; raises `REDIS_ERRORS`."""
        async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
            return await looks.look_at_line(self.redis, pipeline)

    async def connections(self) -> looks.ConnectionsLook:
        """Read the limits and who holds what; raises `CONNECTION_ERRORS`."""
        async with asyncio.timeout(LOOK_TIMEOUT_SECONDS), self._opening:
            if self._connection is None or self._connection.is_closed():
                self._connection = await postgres.connect(
                    self.database_url, application_name=_SUPERVISOR
                )
            try:
                return await looks.look_at_connections(self._connection)
            except BaseException:
                self._connection.terminate()
                raise

    async def close(self) -> None:
        """Give back what it holds."""
        await self.redis.aclose()
        if self._connection is not None:
            await postgres.close_quickly(self._connection)
