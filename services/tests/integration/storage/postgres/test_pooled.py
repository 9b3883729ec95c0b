"""What a connection through a pooler makes of its transactions; Postgres itself answers here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from shortlist.storage.postgres.pooled import PooledConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def pooled(database_url: str) -> AsyncIterator[PooledConnection]:
    connection: PooledConnection = await asyncpg.connect(
        database_url, statement_cache_size=0, connection_class=PooledConnection
    )
    connection.begin_with({"transaction_isolation": "read committed", "statement_timeout": "4711"})
    yield connection
    await connection.close()


async def settings(connection: PooledConnection) -> tuple[str, str]:
    return (
        await connection.fetchval("SHOW transaction_isolation"),
        await connection.fetchval("SHOW statement_timeout"),
    )


async def test_a_transaction_without_an_isolation_has_that_of_every_session(
    pooled: PooledConnection,
) -> None:
    assert await settings(pooled) == ("read committed", "4711ms")
    async with pooled.transaction():
        assert await settings(pooled) == ("read committed", "4711ms")


async def test_a_transaction_that_asks_for_one_snapshot_gets_it(pooled: PooledConnection) -> None:
    async with pooled.transaction(isolation="repeatable_read", readonly=True):
        assert await settings(pooled) == ("repeatable read", "4711ms")
