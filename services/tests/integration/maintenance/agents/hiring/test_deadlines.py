from __future__ import annotations

import asyncio
import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from integration.maintenance.conftest import old_snapshot
from shortlist.domain.hiring.draft import BATCH
from shortlist.maintenance.agents.hiring import gauges
from shortlist.maintenance.agents.hiring.deadlines import POLL_INTERVAL_SECONDS, Deadlines
from shortlist.maintenance.agents.hiring.settler import LOCKED_SECONDS
from shortlist.storage.postgres.queries.leases import NotLeadingError
from shortlist.storage.postgres.statements import SQL
from testkit.faults.unguarding import without

if TYPE_CHECKING:
    from integration.maintenance.conftest import MakeDesk
    from shortlist.maintenance.agents.hiring.announcer import Announcer
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.postgres import Connection

    from .conftest import Office

DECAYED = ["DECAY_TRIGGERED", "PROMOTED"]


async def test_who_lets_an_offer_pass_goes_to_the_end_and_the_next_in_line_gets_it(
    office: Office, desk: LeaderContext, announcer: Announcer
) -> None:
    memory = await office.opening(offers=1, waiting=2)
    await Deadlines(desk, announcer).turn()
    assert await office.standing(memory) == {
        1: "WAITLIST",
        2: "PENDING_ACKNOWLEDGMENT",
        3: "WAITLIST",
    }
    assert await office.line(memory) == [3, 1]
    assert await office.told(memory) == DECAYED


async def test_it_sleeps_until_the_next_deadline_and_never_long(
    office: Office, desk: LeaderContext, announcer: Announcer
) -> None:
    agent = Deadlines(desk, announcer)
    assert await agent.turn() == POLL_INTERVAL_SECONDS
    memory = await office.opening(offers=1, waiting=1, seconds_ago=0.8)
    seconds = await agent.turn()
    assert 0 <= seconds <= 0.21
    await asyncio.sleep(seconds)
    await agent.turn()
    assert await office.told(memory) == DECAYED


async def test_openings_close_and_begin_to_be_filled_in_time(
    office: Office, desk: LeaderContext, announcer: Announcer, db: Connection
) -> None:
    an_hour = dt.timedelta(hours=1)
    now: dt.datetime = await db.fetchval("SELECT clock_timestamp()")
    closing = await office.opening(
        offers=1, waiting=0, ack_window_seconds=9999, closes_at=now - dt.timedelta(seconds=0.2)
    )
    filling = await office.opening(
        offers=1, waiting=1, fill_from=now - dt.timedelta(seconds=0.2), closes_at=now + an_hour
    )
    await db.execute("UPDATE openings SET due_at = coalesce(fill_from, closes_at)")
    agent = Deadlines(desk, announcer)
    await agent.turn()
    assert await office.told(closing) == ["CLOSED"]
    assert await office.told(filling) == ["PROMOTED"]
    assert await db.fetchval("SELECT due_at FROM openings WHERE id = $1", closing.id) is None
    next_due = await db.fetchval("SELECT due_at FROM openings WHERE id = $1", filling.id)
    assert next_due == now + an_hour
    assert await agent.turn() > 0


async def test_a_crowd_in_one_opening_and_in_many_is_settled_in_one_turn(
    office: Office, desk: LeaderContext, announcer: Announcer
) -> None:
    crowd = await office.opening(offers=2 * BATCH + 5, waiting=10)
    many = [await office.opening(offers=1, waiting=1) for _ in range(70)]
    agent = Deadlines(desk, announcer)
    while await agent.turn() == 0:
        pass
    for memory in many:
        assert await office.told(memory) == DECAYED
    told = await office.told(crowd)
    assert told.count("DECAY_TRIGGERED") == 2 * BATCH + 5
    assert told.count("PROMOTED") == 2 * BATCH + 5


async def an_opening_that_another_has_locked_delays_no_other(
    office: Office, desk: LeaderContext, announcer: Announcer, other: Connection
) -> None:
    locked, free = await office.opening(), await office.opening()
    agent = Deadlines(desk, announcer)
    async with other.transaction():
        await other.execute("SELECT FROM openings WHERE id = $1 FOR NO KEY UPDATE", locked.id)
        async with asyncio.timeout(5):
            assert await agent.turn() <= LOCKED_SECONDS
        assert await office.told(free) == DECAYED
        assert await office.told(locked) == []
    await agent.turn()
    assert await office.told(locked) == DECAYED


async def test_an_opening_that_another_has_locked_delays_no_other(
    office: Office, desk: LeaderContext, announcer: Announcer, other: Connection
) -> None:
    await an_opening_that_another_has_locked_delays_no_other(office, desk, announcer, other)


async def test_off_switch_the_leader_waits_for_whoever_has_a_lock(
    office: Office, desk: LeaderContext, announcer: Announcer, other: Connection
) -> None:
    with without("locked_openings_are_left"), pytest.raises(TimeoutError):
        await an_opening_that_another_has_locked_delays_no_other(office, desk, announcer, other)


async def an_opening_that_cannot_be_settled_delays_no_other(
    office: Office, desk: LeaderContext, announcer: Announcer, db: Connection
) -> None:
    broken, whole = await office.opening(), await office.opening()
    await db.execute("UPDATE openings SET answer_hours = '{}' WHERE id = $1", broken.id)
    agent = Deadlines(desk, announcer)
    await agent.turn()
    assert await office.told(whole) == DECAYED
    assert await office.told(broken) == []
    assert await agent.turn() == POLL_INTERVAL_SECONDS


async def test_an_opening_that_cannot_be_settled_delays_no_other(
    office: Office, desk: LeaderContext, announcer: Announcer, db: Connection
) -> None:
    await an_opening_that_cannot_be_settled_delays_no_other(office, desk, announcer, db)
    overdue = REGISTRY.get_sample_value("shortlist_hiring_overdue_seconds", {"agent": "deadlines"})
    assert overdue is not None
    gauges.take_back()


async def test_off_switch_one_broken_opening_keeps_all_from_being_settled(
    office: Office, desk: LeaderContext, announcer: Announcer, db: Connection
) -> None:
    with without("broken_openings_are_left"), pytest.raises(KeyError):
        await an_opening_that_cannot_be_settled_delays_no_other(office, desk, announcer, db)


async def a_former_leader_settles_nothing(
    office: Office, make_desk: MakeDesk, announcer: Announcer
) -> None:
    former = await make_desk()
    await make_desk()
    memory = await office.opening()
    with pytest.raises(NotLeadingError):
        await Deadlines(former, announcer).turn()
    assert await office.told(memory) == []


async def test_a_former_leader_settles_nothing(
    office: Office, make_desk: MakeDesk, announcer: Announcer
) -> None:
    await a_former_leader_settles_nothing(office, make_desk, announcer)


async def test_off_switch_a_former_leader_settles(
    office: Office, make_desk: MakeDesk, announcer: Announcer
) -> None:
    with without("leader_fence"), pytest.raises(pytest.fail.Exception):
        await a_former_leader_settles_nothing(office, make_desk, announcer)


async def test_what_ran_out_long_ago_and_was_committed_only_now_is_found(
    office: Office, desk: LeaderContext, announcer: Announcer
) -> None:
    agent = Deadlines(desk, announcer)
    await agent.turn()
    memory = await office.opening(seconds_ago=300)
    await agent.turn()
    assert await office.told(memory) == []
    agent._floor._looked_at_all -= 61
    await agent.turn()
    assert await office.told(memory) == DECAYED


async def test_it_says_how_late_it_was_and_when_it_last_looked(
    office: Office, desk: LeaderContext, announcer: Announcer
) -> None:
    name = "shortlist_hiring_lateness_seconds_"
    labels = {"agent": "deadlines"}
    before = [REGISTRY.get_sample_value(name + of, labels) or 0 for of in ("count", "sum")]
    await office.opening(seconds_ago=11)
    await Deadlines(desk, announcer).turn()
    after = [REGISTRY.get_sample_value(name + of, labels) or 0 for of in ("count", "sum")]
    assert after[0] - before[0] == 1
    assert 9.9 < after[1] - before[1] < 20
    age = REGISTRY.get_sample_value("shortlist_hiring_cycle_age_seconds", labels)
    assert age is not None
    assert age < 10
    gauges.take_back()
    assert REGISTRY.get_sample_value("shortlist_hiring_cycle_age_seconds", labels) is None


async def blocks_read(
    office: Office, desk: LeaderContext, announcer: Announcer, database_url: str
) -> int:
    """Blocks that a look reads beside an old snapshot, after 2 000 old offers were settled."""
    agent = Deadlines(desk, announcer)
    async with old_snapshot(database_url):
        for _ in range(10):
            await office.opening(offers=BATCH, waiting=0, seconds_ago=3600, max_misses=1)
        while await agent.turn() == 0:
            pass
        await agent.turn()
        statement = SQL["deadlines.next_due"]
        async with desk.connection() as connection:
            explained = await connection.fetchval(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {statement.text}", agent._floor.after
            )
    plan = json.loads(explained)[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


async def test_a_look_does_not_read_again_what_was_settled_beside_an_old_snapshot(
    office: Office, desk: LeaderContext, announcer: Announcer, database_url: str
) -> None:
    assert await blocks_read(office, desk, announcer, database_url) < 15


async def test_off_switch_without_a_floor_a_look_reads_all_that_was_ever_settled(
    office: Office, desk: LeaderContext, announcer: Announcer, database_url: str
) -> None:
    with without("floor_of_deadlines"):
        assert await blocks_read(office, desk, announcer, database_url) > 35
