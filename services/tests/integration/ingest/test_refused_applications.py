"""An application that Postgres refuses for its data takes none of its group along."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shortlist.storage import deadline_batcher
from testkit.processes.ingest import APPLICATION, open_door

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection

REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE 'refused' USING ERRCODE = '{state}'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON applications FOR EACH ROW
    WHEN (NEW.payload = 'bad') EXECUTE FUNCTION refuse();
"""


async def twenty_with_a_bad_one(
    database_url: str, redis_url: str, db: Connection, state: str
) -> list[int]:
    """The answers to twenty applications that are sent at once, of which the sixth is refused."""
    await db.execute(REFUSE.format(state=state))
    payloads = ["good"] * 5 + ["bad"] + ["good"] * 14
    async with open_door(database_url, redis_url) as door:
        replies = await asyncio.gather(
            *(
                door.client.post("/applications", json=APPLICATION | {"payload": payload})
                for payload in payloads
            )
        )
    return [reply.status_code for reply in replies]


@pytest.mark.parametrize(
    ("state", "status"), [("22021", 400), ("23514", 400), ("23505", 400), ("P0001", 500)]
)
async def test_a_refused_application_takes_no_neighbour_along(
    database_url: str, redis_url: str, db: Connection, state: str, status: int
) -> None:
    answers = await twenty_with_a_bad_one(database_url, redis_url, db, state)
    assert answers == [202] * 5 + [status] + [202] * 14
    assert await db.fetchval("SELECT count(*) FROM applications") == 19


async def test_off_switch_a_group_that_is_not_tried_apart_is_refused_together(
    database_url: str, redis_url: str, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline_batcher, "_may_be_of_one", lambda _: False)
    answers = await twenty_with_a_bad_one(database_url, redis_url, db, "22021")
    assert answers.count(202) < 19
