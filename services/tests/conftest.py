"""Real servers for every test: one Postgres and one Redis for each pytest worker.

A test gets an empty database of its own (copied from a migrated template) and an empty Redis.
Tests that break servers start their own (`tests/acceptance/`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING

import asyncpg
import pytest
import redis as sync_redis
from hypothesis import HealthCheck, settings

from shortlist.embedded.servers.postgres import EmbeddedPostgres
from shortlist.embedded.servers.valkey import EmbeddedRedis
from shortlist.storage import postgres, redis
from testkit.databases.urls import migrated
from testkit.logs import configure_logging
from testkit.processes import reaper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_numbers = itertools.count(1)

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(
        tmp_path_factory.mktemp("postgres"),
        # Tests kill processes, not machines: the kernel keeps what was written.
        settings={"fsync": "off", "max_connections": "300"},
    )
    server.start()
    reaper.entrust(server.process)
    asyncio.run(migrated(server.url))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    server.start()
    reaper.entrust(server.process)
    yield server
    server.stop()


@pytest.fixture
def logging_is_put_back() -> Iterator[None]:
    """For a test that configures logging as a process does: the next one finds it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    configure_logging()


@pytest.fixture
async def database_url(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """An empty, migrated database."""
    name = f"test_{next(_numbers)}"
    admin_url = postgres_server.url.replace("/shortlist?", "/postgres?")
    admin = await asyncpg.connect(admin_url)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE shortlist STRATEGY file_copy")
    yield postgres_server.url.replace("/shortlist?", f"/{name}?")
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """An empty Redis."""
    with sync_redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[postgres.Connection]:
    connection = await postgres.connect(database_url, application_name="test")
    yield connection
    await postgres.close_quickly(connection)


@pytest.fixture
async def line_redis(redis_url: str) -> AsyncIterator[redis.Redis]:
    client = redis.connect(redis_url, timeout_seconds=5)
    yield client
    await client.aclose()
