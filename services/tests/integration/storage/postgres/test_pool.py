from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shortlist.storage import postgres
from shortlist.storage.faults import is_outage
from shortlist.storage.postgres.pool import ConnectionPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture
async def make_pool(database_url: str) -> AsyncIterator[Callable[[int], ConnectionPool]]:
    pools: list[ConnectionPool] = []

    def make(limit: int) -> ConnectionPool:
        async def open_connection() -> postgres.Connection:
            return await postgres.connect(database_url, application_name="pool-under-test")

        pools.append(ConnectionPool(open_connection, limit))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()


async def backends(db: postgres.Connection) -> int:
    return int(
        await db.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pool-under-test'"
            " AND datname = current_database()"
        )
    )


async def until_backends(db: postgres.Connection, expected: int) -> None:
    async with asyncio.timeout(5):
        while await backends(db) != expected:
            await asyncio.sleep(0.02)


async def test_a_shrink_closes_idle_connections_now(
    make_pool: Callable[[int], ConnectionPool], db: postgres.Connection
) -> None:
    pool = make_pool(5)
    lent = [await pool.acquire() for _ in range(5)]
    for connection in lent:
        await pool.release(connection)
    assert await backends(db) == 5
    await pool.resize(2)
    assert pool.open == 2
    await until_backends(db, 2)


async def test_a_shrink_lets_lent_connections_finish_and_closes_them_when_they_come_back(
    make_pool: Callable[[int], ConnectionPool], db: postgres.Connection
) -> None:
    pool = make_pool(3)
    lent = [await pool.acquire() for _ in range(3)]
    await pool.resize(1)
    assert await lent[0].fetchval("SELECT 1") == 1
    for connection in lent:
        await pool.release(connection)
    assert pool.open == 1
    await until_backends(db, 1)


async def test_growing_lets_waiters_have_a_connection_at_once(
    make_pool: Callable[[int], ConnectionPool],
) -> None:
    pool = make_pool(0)
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    assert len(pool._waiters) == 1
    await pool.resize(1)
    await pool.release(await asyncio.wait_for(waiting, 5))


async def test_it_never_opens_more_than_its_limit_whatever_the_crowd(
    make_pool: Callable[[int], ConnectionPool], db: postgres.Connection
) -> None:
    pool = make_pool(3)
    await asyncio.gather(*(use(pool) for _ in range(20)))
    assert pool.open == 3
    assert await backends(db) == 3


async def use(pool: ConnectionPool) -> None:
    async with pool.connection() as connection:
        assert pool.open <= pool.limit
        await connection.fetchval("SELECT pg_sleep(0.01)")


async def test_a_broken_connection_is_replaced(
    make_pool: Callable[[int], ConnectionPool], db: postgres.Connection
) -> None:
    pool = make_pool(1)
    connection = await pool.acquire()
    await db.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
    with pytest.raises(Exception) as broken:  # noqa: PT011 (`is_outage` says which)
        await connection.fetchval("SELECT 1")
    assert is_outage(broken.value)
    await pool.release(connection)
    async with pool.connection() as replaced:
        assert await replaced.fetchval("SELECT 1") == 1
    assert pool.open == 1


async def test_a_failure_to_connect_gives_its_place_back() -> None:
    async def refuse() -> postgres.Connection:
        raise OSError("no server there")

    pool = ConnectionPool(refuse, 1)
    for _ in range(2):
        with pytest.raises(OSError, match="no server there"):
            await pool.acquire()
    assert pool.open == 0
