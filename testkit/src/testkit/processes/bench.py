"""Runs real workers inside the test's event loop, against real servers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uuid_utils.compat as uuid7s

from shortlist.domain.line.application import (
    ApplicationId,
    ApplicationView,
    NewApplication,
    PipelineName,
)
from shortlist.runtime import process
from shortlist.runtime.process import Stopping
from shortlist.settings import Settings
from shortlist.storage.postgres.queries import applications
from shortlist.storage.redis.line import Entry, Line
from shortlist.worker.main import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from shortlist.domain.line.scoring import Scorer
    from shortlist.storage.postgres import Connection
    from shortlist.storage.redis import Redis

DEFAULT = PipelineName("default")


@dataclass
class RunningWorker:
    """A worker, and what asks it to stop."""

    worker: Worker
    task: asyncio.Task[bool]
    """Whether it ended by itself, and not because it was asked to end at once."""
    stopping: Stopping


class Bench:
    """Submits applications the way ingest does, runs workers, and looks at what came of it."""

    def __init__(self, db: Connection, redis: Redis, database_url: str, redis_url: str) -> None:
        self.db = db
        self.redis = redis
        self.line = Line(redis, DEFAULT)
        self._urls = {"database_url": database_url, "redis_url": redis_url}

    def settings(self, **overrides: Any) -> Settings:
        return Settings(
            **{
                **self._urls,
                "port": 0,
                "host": "127.0.0.1",
                "service_seconds": 0.0,
                "drain_timeout_seconds": 5.0,
                **overrides,
            }
        )

    async def submit(self, count: int = 1, payload: str = "payload") -> list[ApplicationId]:
        ids = await self.accept(count, payload)
        await self.publish(ids)
        return ids

    async def publish(self, ids: list[ApplicationId]) -> None:
        """Put them on the line."""
        await self.line.publish([Entry(one) for one in ids])

    async def accept(self, count: int, payload: str) -> list[ApplicationId]:
        """Without publishing them."""
        group = [
            NewApplication(ApplicationId(uuid7s.uuid7()), DEFAULT, f"candidate {n}", payload)
            for n in range(count)
        ]
        await applications.accept(self.db, group)
        return [a.id for a in group]

    @asynccontextmanager
    async def worker(
        self, scorer: Scorer | None = None, **overrides: Any
    ) -> AsyncIterator[RunningWorker]:
        worker = Worker(self.settings(**overrides), scorer)
        stopping = Stopping()
        task = asyncio.create_task(process.finishes(worker.run(stopping), stopping))
        try:
            yield RunningWorker(worker, task, stopping)
        finally:
            stopping.ask()
            stopping.ask()
            await asyncio.wait({task}, timeout=10)
            assert task.done()

    async def view(self, application_id: ApplicationId) -> ApplicationView:
        return (await applications.views(self.db, [application_id]))[application_id]

    async def until(
        self, ids: list[ApplicationId], condition: Callable[[ApplicationView], bool]
    ) -> list[ApplicationView]:
        """Wait until every one of them is as wanted; fails after a bounded time."""
        async with asyncio.timeout(20):
            while True:
                views = await applications.views(self.db, ids)
                if len(views) == len(ids) and all(condition(v) for v in views.values()):
                    return [views[i] for i in ids]
                await asyncio.sleep(0.02)

    async def until_final(self, ids: list[ApplicationId]) -> list[ApplicationView]:
        return await self.until(ids, lambda view: view.is_final)

    async def until_line_is_empty(self) -> None:
        async with asyncio.timeout(10):
            while (await self.line.depth()).total:
                await asyncio.sleep(0.02)
