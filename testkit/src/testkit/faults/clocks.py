"""Servers, each with a clock of its own, and what must go on when clocks are set."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from uuid_utils.compat import uuid7

from shortlist.embedded.servers.postgres import EmbeddedPostgres
from shortlist.embedded.servers.valkey import EmbeddedRedis
from shortlist.storage import postgres, redis
from shortlist.storage.postgres import migrate
from testkit.databases.servers import Servers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import Any

    from testkit.processes.faketime import Clock

HOUR, HUNDRED_DAYS = 3600, 100 * 86_400
OFFSETS = (HOUR, 0, -HUNDRED_DAYS, 0)
"""Steps of + 1 h, - 1 h, - 100 d and + 100 d."""

GOES_ON_SECONDS = 5.0
"""Everything does after a step. The slowest are what had no leader (a replica asks each 0.5 s), a
retry that is due after 1 s, and what is lost for the sweep, which looks each 2 s."""

LEADS = """
SELECT count(*) FROM leases WHERE name = 'maintenance'
AND expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '6 s'
"""

UNFINISHED = """
SELECT count(*) FROM applications a
WHERE NOT EXISTS (SELECT FROM results r WHERE r.application_id = a.id)
"""

_SCHEDULE = """
WITH a AS (
    INSERT INTO applications (id, pipeline, candidate, payload)
    VALUES ($1::uuid, 'default', 'Ada', 'a retry') RETURNING id
), t AS (
    INSERT INTO attempts (application_id, attempt, worker_id, outcome)
    SELECT id, 1, gen_random_uuid(), 'errored' FROM a
)
INSERT INTO retries (application_id, pipeline, due_at)
SELECT id, 'default', clock_timestamp() + interval '1 s' FROM a
"""


@asynccontextmanager
async def servers_by(directory: Path, *, postgres: Clock, redis: Clock) -> AsyncIterator[Servers]:
    """A Postgres with the schema, and a Redis, that live by these clocks."""
    servers = Servers(
        EmbeddedPostgres(directory / "postgres", settings={"fsync": "off"}),
        EmbeddedRedis(directory / "redis"),
    )
    with postgres.lived_by():
        await servers.start_postgres()
    with redis.lived_by():
        await servers.start_redis()
    await migrate.migrate(servers.postgres.url)
    try:
        yield servers
    finally:
        await servers.stop()


async def value(database_url: str, sql: str, *arguments: Any) -> Any:
    """The first value that Postgres answers, on a connection of its own."""
    connection = await postgres.connect(database_url, application_name="test", timeout_seconds=10)
    try:
        return await connection.fetchval(sql, *arguments)
    finally:
        await connection.close()


async def schedule_a_retry(database_url: str) -> UUID:
    """Of an application whose id this test's clock made, and that no line knows."""
    one = UUID(str(uuid7()))
    await value(database_url, _SCHEDULE, one)
    return one


async def postgres_seconds(database_url: str) -> float:
    """Unix seconds by Postgres's clock."""
    return float(await value(database_url, "SELECT extract(epoch FROM clock_timestamp())::float8"))


async def redis_seconds(redis_url: str) -> float:
    """Unix seconds by Redis's clock."""
    client = redis.connect(redis_url, timeout_seconds=5)
    try:
        return float((await client.time())[0])
    finally:
        await client.aclose()
