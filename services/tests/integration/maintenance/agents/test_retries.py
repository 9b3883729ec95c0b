from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.maintenance.agents.publish import BATCH
from shortlist.maintenance.agents.retries import POLL_INTERVAL_SECONDS, Retries
from shortlist.storage import redis
from shortlist.storage.postgres.queries import retries
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.maintenance.conftest import Shop
    from shortlist.maintenance.agents.sweep import Sweeps
    from shortlist.maintenance.context import LeaderContext
    from shortlist.maintenance.main import Maintenance


async def test_a_due_retry_goes_before_all_newcomers_and_leaves_the_table(
    shop: Shop, desk: LeaderContext, sweeps: Sweeps
) -> None:
    due, later = await shop.accept(2)
    await shop.schedule(0, due)
    await shop.schedule(600, later)
    await Retries(desk, sweeps).turn()
    assert await shop.in_again() == [due]
    assert await retries.counts(shop.db) == {DEFAULT_PIPELINE: 1}


async def test_it_sleeps_until_the_next_one_and_never_long(
    shop: Shop, desk: LeaderContext, sweeps: Sweeps
) -> None:
    agent = Retries(desk, sweeps)
    assert await agent.turn() == POLL_INTERVAL_SECONDS
    await shop.schedule(0.05, *await shop.accept(1))
    assert await agent.turn() <= 0.05


async def test_a_crowd_that_is_due_at_once_is_published_without_a_rest(
    shop: Shop, desk: LeaderContext, sweeps: Sweeps
) -> None:
    ids = await shop.accept(BATCH + 1)
    await shop.db.execute(
        "INSERT INTO retries SELECT id, $2, now() FROM unnest($1::uuid[]) id", ids, DEFAULT_PIPELINE
    )
    agent = Retries(desk, sweeps)
    assert await agent.turn() == 0
    await agent.turn()
    assert sorted(await shop.in_again()) == ids


async def test_one_scheduled_long_ago_by_a_stalled_transaction_is_found(
    shop: Shop, desk: LeaderContext, sweeps: Sweeps
) -> None:
    agent = Retries(desk, sweeps)
    await agent.turn()
    await shop.schedule(-300, *await shop.accept(1))
    await agent.turn()
    assert await shop.in_again() == []
    agent._read_all_at -= 61
    await agent.turn()
    assert len(await shop.in_again()) == 1


async def test_a_retry_of_a_removed_application_is_dropped(
    shop: Shop, desk: LeaderContext, sweeps: Sweeps
) -> None:
    (gone,) = await shop.accept(1)
    await shop.schedule(0, gone)
    await shop.db.execute("DELETE FROM applications")
    await Retries(desk, sweeps).turn()
    assert await shop.in_again() == []
    assert await retries.counts(shop.db) == {}


async def test_while_redis_is_away_retries_stay_where_they_are(
    shop: Shop, desk: LeaderContext, sweeps: Sweeps
) -> None:
    await shop.schedule(0, *await shop.accept(1))
    agent = Retries(desk, sweeps)
    there, desk.redis = desk.redis, redis.connect("unix:///nowhere/redis.sock")
    await agent.turn()
    assert await retries.counts(shop.db) == {DEFAULT_PIPELINE: 1}
    desk.redis = there
    await agent.turn()
    assert len(await shop.in_again()) == 1


async def test_retries_are_published_when_they_are_due_not_at_a_poll(
    shop: Shop, start_maintenance: Callable[..., Maintenance]
) -> None:
    """By Redis's own clock; the least of several, since the machine may be busy."""
    maintenance = start_maintenance()

    async def leads() -> bool:
        return maintenance.candidate.leadership is not None

    await until(leads, within_seconds=30, what="it leads")
    lateness = []
    for _ in range(5):
        (one,) = await shop.accept(1)
        due = await shop.db.fetchval(
            """
            INSERT INTO retries VALUES ($1, $2, clock_timestamp() + interval '0.5 s')
            RETURNING extract(epoch FROM due_at)::float8
            """,
            one,
            DEFAULT_PIPELINE,
        )
        await shop.until_in_again(one)
        entries = await shop.line.entries_from(shop.line.again, (0, 0), 99)
        lateness.append(entries[-1].position[0] / 1000 - due)
        await asyncio.sleep(0)
    assert min(lateness) < 0.1
    assert all(late > -0.002 for late in lateness), "never early"
