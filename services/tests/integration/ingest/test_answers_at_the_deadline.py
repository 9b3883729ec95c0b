"""Postgres begins no insert that it has no time to commit and to answer."""

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

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection


pytestmark = pytest.mark.slow

TIMEOUT_SECONDS = 6.0
LEFT_SECONDS = 0.7
"""When the insert is sent: less than the sixth, so Postgres begins it no more."""


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


async def sent_too_late_to_be_heard(db: Connection, database_url: str) -> None:
    """What is sent shortly before the deadline is answered after it."""
    async with PostgresProxy(database_url) as proxy:
        door = Door(proxy.url, timeout_seconds=TIMEOUT_SECONDS)
        assert await door.told() == 202  # the statement is prepared now
        deadline = time.monotonic() + TIMEOUT_SECONDS

        async def hold(_: Connection) -> None:
            await asyncio.sleep(deadline - LEFT_SECONDS - time.monotonic())  # the only connection

        holding = asyncio.create_task(door.database.run(hold, deadline))
        await asyncio.sleep(0)  # it has the connection
        applying = asyncio.create_task(door.told())
        await holding
        proxy.delay_seconds = 2 * LEFT_SECONDS
        status = await applying
        await door.database.close()
    assert (status, await db.fetchval("SELECT count(*) FROM applications")) == (503, 1)


async def test_postgres_begins_nothing_that_it_cannot_answer_in_time(
    db: Connection, database_url: str
) -> None:
    await sent_too_late_to_be_heard(db, database_url)


async def test_off_switch_begun_too_late_it_is_there_and_was_answered_503(
    db: Connection, database_url: str
) -> None:
    with without("commits_begin_in_time"), pytest.raises(AssertionError, match=r"\(503, 2\)"):
        await sent_too_late_to_be_heard(db, database_url)
