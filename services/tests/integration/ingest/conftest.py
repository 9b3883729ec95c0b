from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE, WorkerId
from shortlist.storage.postgres.queries import pipelines, workers
from testkit.clients.dashboard import Applicants
from testkit.processes.ingest import Door, open_door
from testkit.processes.place import Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from shortlist.storage.postgres import Connection

    Opener = Callable[..., AbstractAsyncContextManager[Door]]


@pytest.fixture
def place(tmp_path: Path, database_url: str, redis_url: str) -> Place:
    """For tests that need an ingest of its own process."""
    return Place(tmp_path, database_url, redis_url)


@pytest.fixture
def opening(database_url: str, redis_url: str) -> Opener:
    """Opens a door with settings of the test's choice."""
    return partial(open_door, database_url, redis_url)


@pytest.fixture
async def door(opening: Opener) -> AsyncIterator[Door]:
    async with opening() as door:
        yield door


@pytest.fixture
async def applicants(db: Connection) -> Applicants:
    """Puts applications in the database, in the state that a test wants to see."""
    worker = WorkerId(uuid4())
    await workers.enrol(db, worker, DEFAULT_PIPELINE, "perWrite")
    return Applicants(db, worker)


@pytest.fixture
def set_capacity(db: Connection) -> Callable[[int], Awaitable[None]]:
    async def set_to(capacity: int) -> None:
        await pipelines.configure(db, DEFAULT_PIPELINE, capacity)

    return set_to
