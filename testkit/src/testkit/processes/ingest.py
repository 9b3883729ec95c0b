"""An ingest inside the test's own process: its parts can be looked at, its settings chosen."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2

from shortlist.ingest.main import Ingest
from shortlist.runtime.process import Stopping
from shortlist.settings import Settings
from testkit.processes.stack import free_port
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NO_REDIS = "unix:///nowhere/redis.sock"
"""No server listens there."""

APPLICATION = {"candidate": "Ada", "payload": "knows her numbers"}


_PATIENT = {"commit_timeout_seconds": 60.0, "body_timeout_seconds": 60.0}
"""How long a busy machine takes is not what most tests ask; those that do say their own."""


@dataclass
class Door:
    """What a test works with."""

    ingest: Ingest
    stopping: Stopping
    port: int
    client: httpx2.AsyncClient
    ended: asyncio.Task[None]

    async def accept(self, **fields: Any) -> str:
        """Submit an application that is fine; its id."""
        reply = await self.client.post("/applications", json=APPLICATION | fields)
        assert reply.status_code == 202, reply.text
        return str(reply.json()["id"])


@asynccontextmanager
async def open_door(database_url: str, redis_url: str, **settings: Any) -> AsyncIterator[Door]:
    """Run an ingest for the length of a block, and drain it."""
    port = free_port()
    chosen = Settings(
        database_url=database_url,
        redis_url=redis_url,
        host="127.0.0.1",
        port=port,
        **_PATIENT | settings,
    )
    ingest, stopping = Ingest(chosen), Stopping()
    ended = asyncio.create_task(ingest.run(stopping))
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False
    ) as client:
        try:
            await until(lambda: _listens(client, ended), within_seconds=60, what="ingest listens")
            yield Door(ingest, stopping, port, client, ended)
        finally:
            stopping.ask()
            await ended


async def _listens(client: httpx2.AsyncClient, ended: asyncio.Task[None]) -> bool:
    if ended.done():
        raise AssertionError(f"ingest ended: {ended.exception() or ended.result()}")
    try:
        return (await client.get("/healthz")).status_code == 200
    except httpx2.TransportError:
        return False
