"""Real workers inside the test's event loop, against real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shortlist.settings import Settings
from shortlist.telemetry import logs
from testkit.processes.bench import Bench
from testkit.proxies.postgres import PostgresProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shortlist.storage.postgres import Connection
    from shortlist.storage.redis import Redis


@pytest.fixture
def bench(db: Connection, line_redis: Redis, database_url: str, redis_url: str) -> Bench:
    return Bench(db, line_redis, database_url, redis_url)


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[PostgresProxy]:
    async with PostgresProxy(database_url) as proxy:
        yield proxy


@pytest.fixture
def refused_bench(db: Connection, line_redis: Redis, proxy: PostgresProxy, redis_url: str) -> Bench:
    """A bench whose workers reach Postgres through the proxy."""
    return Bench(db, line_redis, proxy.url, redis_url)


@pytest.fixture(params=["perJob", "perWrite"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def logs_as_a_process(logging_is_put_back: None) -> None:
    """A traceback that is drawn for a terminal takes longer than what is tested."""
    del logging_is_put_back
    logs.configure(Settings(), "worker")
