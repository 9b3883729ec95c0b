from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from shortlist.storage import postgres
from shortlist.storage.postgres.reopening import ReopeningConnection
from testkit.waiting import until

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection

NAME = "reopening"
OURS = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{NAME}'"


@pytest.fixture
def opened() -> list[Connection]:
    """Every connection that was opened."""
    return []


@pytest.fixture
def one(database_url: str, opened: list[Connection]) -> ReopeningConnection:
    async def note(connection: Connection) -> None:
        opened.append(connection)

    return ReopeningConnection(partial(postgres.connect, database_url, application_name=NAME), note)


async def test_it_is_opened_when_first_used_and_kept(
    one: ReopeningConnection, opened: list[Connection]
) -> None:
    assert not one.is_open
    assert await one.get() is await one.get()
    assert one.is_open
    assert len(opened) == 1
    await one.close()
    assert not one.is_open


@pytest.mark.parametrize("broken_by", ["the server", "its user"])
async def test_after_a_break_the_next_use_opens_another(
    one: ReopeningConnection, opened: list[Connection], db: Connection, broken_by: str
) -> None:
    first = await one.get()
    if broken_by == "its user":
        one.terminate()
    else:
        await db.fetchval("SELECT pg_terminate_backend($1, 5000)", first.get_server_pid())
        with pytest.raises(Exception, match=r"terminat|closed"):
            await first.fetchval("SELECT 1")
    assert not one.is_open
    second = await one.get()
    assert opened == [first, second]
    assert await second.fetchval("SELECT 1") == 1
    await one.close()


async def test_a_connection_of_which_its_user_cannot_learn_is_closed(
    database_url: str, db: Connection
) -> None:
    async def fail(connection: Connection) -> None:
        assert await connection.fetchval(OURS) == 1
        raise TimeoutError

    one = ReopeningConnection(partial(postgres.connect, database_url, application_name=NAME), fail)
    with pytest.raises(TimeoutError):
        await one.get()
    assert not one.is_open

    async def is_gone() -> bool:
        return not await db.fetchval(OURS)

    await until(is_gone, what="Postgres has none of it")
