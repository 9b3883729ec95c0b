"""A COMMIT that was sent when the deadline passes is answered as Postgres answers it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import OpeningId
from shortlist.hiring.by import By
from shortlist.hiring.requests import NewOpening
from shortlist.hiring.transactions import committing
from shortlist.storage.unavailable import DatabaseUnavailableError
from testkit.faults.held_commits import holding
from testkit.faults.unguarding import without
from testkit.hiring.memory import COMPANY, PERSON
from testkit.hiring.stored.acts import acts_on
from testkit.waiting import until

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection

TIMEOUT_SECONDS = 1.0


async def answered_after_the_deadline(db: Connection, database_url: str) -> None:
    """Postgres commits only after the deadline has passed; whoever applied is told so."""
    acts, database = acts_on(database_url, timeout_seconds=TIMEOUT_SECONDS)
    job = await acts.open(NewOpening("Baker", Rules(1)), By(COMPANY))
    async with holding(db, "placements") as held:
        asked = acts.apply_publicly("Ada", "ada@example.org", OpeningId(job.id), By(PERSON))
        applying = asyncio.create_task(asked)
        await held.until_one_is_there()
        await asyncio.sleep(TIMEOUT_SECONDS)  # until the deadline has passed for certain
        await held.let_happen()
        try:
            result = await applying
        except DatabaseUnavailableError:
            told = "nothing has changed"
        else:
            told = result.status

        async def has_ended() -> bool:
            return not await held.is_one_there()

        await until(has_ended, what="the commit has ended")
    await database.close()
    there = await db.fetchval("SELECT count(*) FROM placements")
    assert (told, there) in {("ACTIVE", 1), ("nothing has changed", 0)}, f"told: {told}"


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is not what is tested."""
    monkeypatch.setattr(committing, "GRACE_LOOKS", 1200)


@pytest.mark.usefixtures("_patient")
async def test_what_is_committed_after_the_deadline_is_answered_so(
    db: Connection, database_url: str
) -> None:
    await answered_after_the_deadline(db, database_url)
    assert await db.fetchval("SELECT count(*) FROM placements") == 1


async def test_off_switch_without_a_grace_it_is_there_and_was_answered_503(
    db: Connection, database_url: str
) -> None:
    with without("commits_are_awaited"), pytest.raises(AssertionError, match="told: nothing"):
        await answered_after_the_deadline(db, database_url)
