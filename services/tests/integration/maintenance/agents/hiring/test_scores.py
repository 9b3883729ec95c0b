from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId
from shortlist.maintenance.agents.hiring.scores import POLL_INTERVAL_SECONDS, Scores
from shortlist.maintenance.agents.retention import Retention
from shortlist.storage.postgres.queries import requeue
from testkit.faults.unguarding import without

from .conftest import placement_of

if TYPE_CHECKING:
    from integration.maintenance.conftest import MakeDesk, Shop
    from shortlist.maintenance.agents.hiring.announcer import Announcer
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.postgres import Connection
    from testkit.hiring.memory import Memory

    from .conftest import Office

DUE = "SELECT count(*) FROM placement_scores WHERE is_due"


@pytest.fixture
async def memory(office: Office) -> Memory:
    """A line of three, ordered by score; the place is held for long."""
    return await office.opening(offers=1, waiting=3, order="score", ack_window_seconds=9999)


async def submitted(shop: Shop, memory: Memory, applicant: int) -> ApplicationId:
    """An applicant's payload, on its way to be scored."""
    (one,) = await shop.accept(1)
    await shop.db.execute(
        "INSERT INTO placement_scores (application_id, placement_id, opening_id)"
        " VALUES ($1, $2, $3)",
        one,
        placement_of(memory, applicant),
        memory.id,
    )
    return one


async def scored(shop: Shop, one: ApplicationId, score: float) -> None:
    """As a worker writes it, of whichever release."""
    await shop.db.execute(
        "INSERT INTO results (application_id, attempt, pipeline, status, score, detail)"
        " VALUES ($1, 1, $2, 'scored', $3, '{\"criteria\": 7}')",
        one,
        DEFAULT_PIPELINE,
        score,
    )


async def test_a_score_that_arrives_orders_the_line(
    shop: Shop, office: Office, memory: Memory, desk: LeaderContext, announcer: Announcer
) -> None:
    assert await office.line(memory) == [2, 3, 4]
    await scored(shop, await submitted(shop, memory, 4), 80.0)
    await scored(shop, await submitted(shop, memory, 3), 90.0)
    agent = Scores(desk, announcer)
    await agent.turn()
    assert await office.line(memory) == [3, 4, 2]
    assert await office.told(memory) == ["SCORED", "SCORED"]
    assert await shop.db.fetchval(DUE) == 0
    assert await agent.turn() == POLL_INTERVAL_SECONDS
    assert await office.told(memory) == ["SCORED", "SCORED"]


async def test_a_failed_score_waits_behind_the_scored(
    shop: Shop, office: Office, memory: Memory, desk: LeaderContext, announcer: Announcer
) -> None:
    failed, other = await submitted(shop, memory, 2), await submitted(shop, memory, 4)
    await shop.fail(failed)
    await scored(shop, other, 1.0)
    await Scores(desk, announcer).turn()
    assert await office.line(memory) == [4, 2, 3]
    assert (
        await shop.db.fetchval(
            "SELECT status FROM placement_scores WHERE application_id = $1", failed
        )
        == "failed"
    )


async def test_who_was_given_another_chance_is_ordered_by_the_new_score(
    shop: Shop, office: Office, memory: Memory, desk: LeaderContext, announcer: Announcer
) -> None:
    failed, other = await submitted(shop, memory, 2), await submitted(shop, memory, 4)
    await shop.fail(failed)
    await scored(shop, other, 70.0)
    agent = Scores(desk, announcer)
    await agent.turn()
    assert await requeue.requeue(shop.db, [failed], "person") == {failed}
    await shop.finish(failed)  # 50
    await agent.turn()
    assert await office.line(memory) == [4, 2, 3]
    assert await office.told(memory) == ["SCORED"] * 3
    await shop.db.execute("DELETE FROM results WHERE application_id = $1", other)
    await scored(shop, other, 10.0)
    await agent.turn()
    assert await office.line(memory) == [2, 4, 3]


async def test_a_score_and_its_reasons_stay_when_scoring_forgets_the_application(
    shop: Shop, memory: Memory, make_desk: MakeDesk, announcer: Announcer
) -> None:
    desk = await make_desk(retention_days=2, idempotency_hours=24)
    (one,) = await shop.accept(1, age_seconds=5 * 86_400)
    await shop.db.execute(
        "INSERT INTO placement_scores (application_id, placement_id, opening_id)"
        " VALUES ($1, $2, $3)",
        one,
        placement_of(memory, 3),
        memory.id,
    )
    await scored(shop, one, 88.0)
    await shop.db.execute("UPDATE results SET finished_at = now() - interval '4 days'")
    await Scores(desk, announcer).turn()
    await Retention(desk).turn()
    assert await shop.db.fetchval("SELECT count(*) FROM applications") == 0
    kept = await shop.db.fetchrow("SELECT score, detail, is_due FROM placement_scores")
    assert kept is not None
    assert tuple(kept) == (88.0, {"criteria": 7}, False)
    score = await shop.db.fetchval(
        "SELECT score FROM placements WHERE id = $1", placement_of(memory, 3)
    )
    assert score == 88.0


async def test_a_score_waits_for_an_opening_that_another_has_locked(
    shop: Shop,
    office: Office,
    memory: Memory,
    desk: LeaderContext,
    announcer: Announcer,
    other: Connection,
) -> None:
    await scored(shop, await submitted(shop, memory, 4), 80.0)
    async with other.transaction():
        await other.execute("SELECT FROM openings WHERE id = $1 FOR NO KEY UPDATE", memory.id)
        turn = asyncio.create_task(Scores(desk, announcer).turn())
        await asyncio.sleep(0.1)
        assert not turn.done()
    await turn
    assert await office.line(memory) == [4, 2, 3]


async def a_score_is_not_lost_when_its_transaction_fails(
    shop: Shop, office: Office, memory: Memory, desk: LeaderContext, announcer: Announcer
) -> None:
    await scored(shop, await submitted(shop, memory, 4), 80.0)
    await shop.db.execute(
        "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = 'disk_full'; END $$"
    )
    await shop.db.execute(
        "CREATE TRIGGER fails BEFORE INSERT ON opening_events EXECUTE FUNCTION fails()"
    )
    agent = Scores(desk, announcer)
    with pytest.raises(Exception, match="disk full"):
        await agent.turn()
    await shop.db.execute("DROP TRIGGER fails ON opening_events")
    await agent.turn()
    assert await office.line(memory) == [4, 2, 3]


async def test_a_score_is_not_lost_when_its_transaction_fails(
    shop: Shop, office: Office, memory: Memory, desk: LeaderContext, announcer: Announcer
) -> None:
    await a_score_is_not_lost_when_its_transaction_fails(shop, office, memory, desk, announcer)


async def test_off_switch_a_score_that_is_marked_as_done_before_it_is_would_be_lost(
    shop: Shop, office: Office, memory: Memory, desk: LeaderContext, announcer: Announcer
) -> None:
    with without("scores_are_done_when_written"), pytest.raises(AssertionError):
        await a_score_is_not_lost_when_its_transaction_fails(shop, office, memory, desk, announcer)


async def test_a_worker_that_writes_a_score_waits_for_no_opening(
    shop: Shop, memory: Memory, other: Connection
) -> None:
    one = await submitted(shop, memory, 4)
    async with other.transaction():
        await other.execute("SELECT FROM openings WHERE id = $1 FOR UPDATE", memory.id)
        async with asyncio.timeout(10):
            await scored(shop, one, 80.0)
    assert await shop.db.fetchval(DUE) == 1


async def test_a_score_of_what_was_never_submitted_here_is_nothing(
    shop: Shop, office: Office, memory: Memory, desk: LeaderContext, announcer: Announcer
) -> None:
    await shop.finish(*await shop.accept(2))
    await Scores(desk, announcer).turn()
    assert await office.told(memory) == []
