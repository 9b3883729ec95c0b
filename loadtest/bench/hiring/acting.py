"""Our acts in this process, as ingest has them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from shortlist.domain.hiring.audit import Actor
from shortlist.hiring.acts import Acts
from shortlist.hiring.by import By
from shortlist.hiring.transactions import SESSION
from shortlist.storage.postgres.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable

    from loadtest.bench.bench import Place

BY = By(Actor("key", "1"))
AT_ONCE = 64
"""As many as connections load a front door."""

_CONNECTIONS = 2  # of ingest's four, as many are for acts
_TIMEOUT_SECONDS = 2.0


@asynccontextmanager
async def acting(place: Place) -> AsyncIterator[Acts]:
    """Acts on a place's database, as many connections as ingest has."""
    database = Database(
        place.database_url,
        name="shortlist-bench acts",
        connections=_CONNECTIONS,
        timeout_seconds=_TIMEOUT_SECONDS,
        settings=SESSION,
    )
    acts = Acts(database, on_submitted=lambda _: None, on_committed=lambda _: None)
    try:
        yield acts
        await acts.finish()
    finally:
        await database.close()


async def each(acts: Iterable[Awaitable[object]], at_once: int = AT_ONCE) -> None:
    """Do acts from so many callers side by side, each of which waits for its answer."""
    waiting = iter(acts)

    async def caller() -> None:
        for act in waiting:
            await act

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(caller())
