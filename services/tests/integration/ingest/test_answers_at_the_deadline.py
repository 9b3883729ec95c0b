"""An application that is answered 503 is not there, though its time ends while Postgres commits."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from uuid_utils.compat import uuid7

from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId, NewApplication
from shortlist.http.budget import Budget
from shortlist.ingest.group_commit import GroupCommit
from shortlist.storage.postgres.database import Database
from shortlist.storage.unavailable import DatabaseUnavailableError
from testkit.faults.unguarding import without
from testkit.proxies.postgres import PostgresProxy
from testkit.waiting import until

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection

_SLOW_INSERT = """
CREATE FUNCTION take_a_while() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(0.5);
    RETURN NULL;
END
$$;
CREATE TRIGGER take_a_while AFTER INSERT ON applications EXECUTE FUNCTION take_a_while();
"""
_INSERTING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event = 'PgSleep'
"""


class Door:
    """Group commits on one connection."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self.database = Database(url, name="test", connections=1, timeout_seconds=timeout_seconds)
        self._commits = GroupCommit(
            self.database, Budget(1 << 20), flushers=1, timeout_seconds=timeout_seconds,
            backlog=9, on_accepted=lambda _: None,
        )  # fmt: skip

    async def told(self) -> int:
        """Apply; the status that the client is answered with."""
        new = NewApplication(ApplicationId(uuid7()), DEFAULT_PIPELINE, "Ada", "a text")
        try:
            await self._commits.accept(new)
        except DatabaseUnavailableError:
            return 503
        return 202


async def stopped_while_its_answer_comes(db: Connection, database_url: str) -> None:
    """The deadline passes, and the answer comes, while this process does not run."""
    door = Door(database_url, timeout_seconds=2)
    await db.execute(_SLOW_INSERT)
    applying = asyncio.create_task(door.told())

    async def inserts() -> bool:
        return bool(await db.fetchval(_INSERTING))

    await until(inserts, what="Postgres inserts", poll_seconds=0.01)
    time.sleep(2.5)  # noqa: ASYNC251 (the event loop stands as that of a stopped process does)
    status = await applying
    await door.database.close()
    assert (status, await db.fetchval("SELECT count(*) FROM applications")) == (202, 1)


async def sent_too_late_to_be_heard(db: Connection, database_url: str) -> None:
    """What is sent shortly before the deadline is answered after it."""
    async with PostgresProxy(database_url) as proxy:
        door = Door(proxy.url, timeout_seconds=4)
        assert await door.told() == 202  # the statement is prepared now
        deadline = time.monotonic() + 4

        async def hold(_: Connection) -> None:
            await asyncio.sleep(deadline - 0.45 - time.monotonic())  # the only connection

        holding = asyncio.create_task(door.database.run(hold, deadline))
        await asyncio.sleep(0)  # it has the connection
        applying = asyncio.create_task(door.told())
        await holding
        proxy.delay_seconds = 1.0
        status = await applying
        await door.database.close()
    assert (status, await db.fetchval("SELECT count(*) FROM applications")) == (503, 1)


async def test_an_answer_that_came_while_the_process_was_stopped_counts(
    db: Connection, database_url: str
) -> None:
    await stopped_while_its_answer_comes(db, database_url)


async def test_off_switch_without_a_look_it_is_there_and_was_answered_503(
    db: Connection, database_url: str
) -> None:
    with without("answers_are_looked_for"), pytest.raises(AssertionError, match=r"\(503, 1\)"):
        await stopped_while_its_answer_comes(db, database_url)


async def test_postgres_begins_nothing_that_it_cannot_answer_in_time(
    db: Connection, database_url: str
) -> None:
    await sent_too_late_to_be_heard(db, database_url)


async def test_off_switch_begun_too_late_it_is_there_and_was_answered_503(
    db: Connection, database_url: str
) -> None:
    with without("commits_begin_in_time"), pytest.raises(AssertionError, match=r"\(503, 2\)"):
        await sent_too_late_to_be_heard(db, database_url)
