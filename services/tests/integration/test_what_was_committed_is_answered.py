"""What was committed is answered, and once, though telling others of it fails.

Raised to the batch, such a bug had all of it done again and its callers told that it had failed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uuid_utils.compat import uuid7

from shortlist.domain.hiring.audit import Actor
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import OpeningId, PlacementId
from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId, NewApplication
from shortlist.hiring.acts import Acts, NewOpening
from shortlist.hiring.by import By
from shortlist.http.budget import Budget
from shortlist.ingest.group_commit import GroupCommit
from shortlist.storage.postgres.database import Database
from shortlist.storage.postgres.queries.applications import Accepted
from testkit.hiring.postgres import check

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection

BY = By(Actor("key", "42"))


def fail(_: object) -> None:
    raise RuntimeError("a bug in what is told")


def a_payload() -> NewApplication:
    return NewApplication(ApplicationId(uuid7()), DEFAULT_PIPELINE, "Ada", "a text")


def connections(database_url: str) -> Database:
    return Database(database_url, name="test", connections=2, timeout_seconds=20)


async def test_of_hiring(database_url: str, db: Connection) -> None:
    database = connections(database_url)
    acts = Acts(database, on_submitted=fail, on_committed=fail)
    job = OpeningId((await acts.open(NewOpening("Nurse", Rules(1)), BY)).id)
    first, second = await asyncio.gather(
        acts.apply_publicly("Ada", "ada@example.org", job, BY, a_payload()),
        acts.apply_publicly("Bob", "bob@example.org", job, BY),
    )
    assert (first.status, second.status) == ("ACTIVE", "WAITLIST")
    assert (await acts.withdraw(PlacementId(first.application_id), BY)).status == "INACTIVE"
    await database.close()
    await check(db)


async def test_of_scoring(database_url: str) -> None:
    database = connections(database_url)
    commits = GroupCommit(
        database, Budget(1 << 20), flushers=1, timeout_seconds=20, backlog=9, on_accepted=fail
    )
    new = [a_payload() for _ in range(3)]
    assert await asyncio.gather(*map(commits.accept, new)) == [Accepted(one.id) for one in new]
    await database.close()
