from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, get_args
from uuid import uuid4

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE, ConnectionMode
from shortlist.domain.line.sweep import GRACE_SECONDS
from shortlist.maintenance.agents.dead_workers import DeadWorkers
from shortlist.maintenance.agents.sweep import Sweeps
from shortlist.maintenance.context import WORKERS_ARE_BACK_SECONDS
from shortlist.storage.postgres.queries import workers
from shortlist.storage.redis import heartbeats, keys
from shortlist.storage.redis.heartbeats import Grant, Heartbeat
from testkit.waiting import until

if TYPE_CHECKING:
    from integration.maintenance.conftest import FakeWorker, MakeDesk, Shop
    from shortlist.maintenance.context import LeaderContext

MODES = get_args(ConnectionMode)


def long_ago() -> float:
    return float("inf")


def a_heartbeat(worker: FakeWorker) -> Heartbeat:
    return Heartbeat(
        worker_id=str(worker.id), at=time.time(), started_at=0, ready_at=0, host="h", pid=1,
        mode=worker.mode, concurrency=1, in_flight=1, grant=2, open_connections=2, epoch=1,
        draining=False, busy_seconds=0, completed=0, failed=0, retried=0,
    )  # fmt: skip


async def look_twice(agent: DeadWorkers) -> None:
    """Once to suspect, once to be sure."""
    await agent.turn()
    await asyncio.sleep(0.15)
    await agent.turn()


@pytest.mark.parametrize("mode", MODES)
async def test_what_a_dead_worker_held_is_put_back_and_nothing_of_it_stays(
    shop: Shop, desk: LeaderContext, sweeps: Sweeps, mode: ConnectionMode
) -> None:
    agent = DeadWorkers(desk, sweeps, long_ago)
    worker = await shop.worker(mode)
    claimed = await shop.accept(2, publish=True)
    given = await shop.accept(1, publish=True)
    waiting = await shop.accept(1, publish=True)
    await shop.line.pull(str(worker.id), 3, 0.01)
    await worker.claim(*claimed)
    await heartbeats.beat(shop.redis, DEFAULT_PIPELINE, a_heartbeat(worker))
    await heartbeats.publish_grants(shop.redis, DEFAULT_PIPELINE, {str(worker.id): Grant(1, 2)})
    await heartbeats.set_draining(shop.redis, DEFAULT_PIPELINE, {str(worker.id)})
    await look_twice(agent)
    assert await shop.in_again() == []
    await worker.die()

    async def rescued() -> bool:
        await agent.turn()
        return sorted(await shop.in_again()) == sorted(claimed + given)

    await until(rescued, within_seconds=30, what="claimed and given are put back, once")
    assert await shop.in_line() == waiting
    assert await workers.registered(shop.db, DEFAULT_PIPELINE) == set()
    assert await shop.line.consumers(shop.line.line) == []
    for key in (keys.beats, keys.grants, keys.drain):
        assert await shop.redis.exists(key(DEFAULT_PIPELINE)) == 0


async def test_a_worker_whose_own_connection_broke_is_not_robbed_of_what_it_holds(
    shop: Shop, desk: LeaderContext, sweeps: Sweeps
) -> None:
    agent = DeadWorkers(desk, sweeps, long_ago)
    worker = await shop.worker("perJob")
    (one,) = await shop.accept(1, publish=True)
    await shop.line.pull(str(worker.id), 1, 0.01)
    await worker.claim(one)
    worker.connections[0].terminate()

    async def looks_dead() -> bool:
        return worker.id in await workers.dead(shop.db)

    await until(looks_dead, within_seconds=30, what="Postgres notices")
    await look_twice(agent)
    assert await shop.in_again() == []
    assert await workers.registered(shop.db, DEFAULT_PIPELINE) == {worker.id}
    assert await workers.enrol(await worker.connect(), worker.id, DEFAULT_PIPELINE, "perJob")
    assert await workers.dead(shop.db) == {}


async def test_while_our_own_connections_break_nobody_is_declared_dead_in_haste(
    shop: Shop, desk: LeaderContext, sweeps: Sweeps
) -> None:
    seconds_since_a_break = 0.0
    agent = DeadWorkers(desk, sweeps, lambda: seconds_since_a_break)
    worker = await shop.worker("perWrite")
    await worker.claim(*await shop.accept(1))
    await worker.die()
    await look_twice(agent)
    assert await shop.in_again() == []
    seconds_since_a_break = 2.0
    await agent.turn()
    assert len(await shop.in_again()) == 1


@pytest.mark.parametrize("mode", MODES)
async def test_workers_that_found_no_postgres_have_time_to_come_back(
    shop: Shop, make_desk: MakeDesk, mode: ConnectionMode
) -> None:
    heard_for_seconds = 0.0
    desk = await make_desk(lambda: heard_for_seconds)
    sweeps = Sweeps(desk)
    sweep = await sweeps.of(DEFAULT_PIPELINE)
    assert sweep is not None
    agent = DeadWorkers(desk, sweeps, long_ago)
    worker = await shop.worker(mode)
    await worker.claim(*await shop.accept(1))
    await worker.die()  # so it looks to Postgres

    async def looks_dead() -> bool:
        return worker.id in await workers.dead(shop.db)

    await until(looks_dead, within_seconds=30, what="Postgres notices")
    for _ in range(2):
        await look_twice(agent)
        await sweep.run()
        await asyncio.sleep(1.1 * GRACE_SECONDS)  # what is suspected longer is lost
    assert await shop.in_again() == []
    heard_for_seconds = WORKERS_ARE_BACK_SECONDS
    await look_twice(agent)
    assert len(await shop.in_again()) == 1


async def test_a_worker_that_renews_just_then_is_not_forgotten(shop: Shop) -> None:
    worker = await shop.worker("perWrite")
    await workers.forget(shop.db, [worker.id, uuid4()])  # type: ignore[list-item]
    assert await workers.registered(shop.db, DEFAULT_PIPELINE) == {worker.id}
