from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE, WorkerId
from shortlist.maintenance.agents.redis_loss import RedisLoss
from shortlist.storage.postgres.queries import claims
from shortlist.storage.redis import generation, keys
from testkit.faults.unguarding import without

if TYPE_CHECKING:
    from integration.maintenance.conftest import Shop
    from shortlist.maintenance.agents.sweep import Sweep
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.redis import Redis


@pytest.fixture
async def memory(desk: LeaderContext, sweep: Sweep) -> RedisLoss:
    memory = RedisLoss(desk)
    await memory.restore_if_lost(sweep)
    return memory


async def what_waited_is_published_again(shop: Shop, memory: RedisLoss, sweep: Sweep) -> None:
    ids = await shop.accept(20, publish=True)
    await shop.redis.flushall()
    await memory.restore_if_lost(sweep)
    assert await shop.in_line() == ids, "not all, or not in order"


async def test_after_a_flush_everything_is_published_again_in_order(
    shop: Shop, memory: RedisLoss, sweep: Sweep
) -> None:
    await what_waited_is_published_again(shop, memory, sweep)


async def test_off_switch_without_the_sweep_a_flush_is_final(
    shop: Shop, memory: RedisLoss, sweep: Sweep
) -> None:
    with without("sweep"), pytest.raises(AssertionError, match="not all"):
        await what_waited_is_published_again(shop, memory, sweep)


async def test_only_what_is_nobodys_is_published_again(
    shop: Shop, memory: RedisLoss, sweep: Sweep
) -> None:
    worker = await shop.worker()
    held, finished, scheduled, abandoned, newcomer = await shop.accept(5, publish=True)
    await sweep.run()
    await worker.claim(held)
    await shop.finish(finished)
    await shop.schedule(600, scheduled)
    assert await claims.claim_leased(shop.db, [abandoned], WorkerId(finished))
    await shop.redis.flushall()
    await memory.restore_if_lost(sweep)
    assert await shop.in_line() == [newcomer]
    assert await shop.in_again() == [abandoned]


async def test_what_ingest_published_since_then_is_not_doubled(
    shop: Shop, memory: RedisLoss, sweep: Sweep
) -> None:
    lost = await shop.accept(3, publish=True)
    await shop.redis.flushall()
    since = await shop.accept(3, publish=True)
    await memory.restore_if_lost(sweep)
    assert await shop.in_line() == since + lost


async def test_a_restoration_that_did_not_end_is_begun_anew(
    shop: Shop, desk: LeaderContext, sweep: Sweep
) -> None:
    ids = await shop.accept(3, publish=True)
    await generation.begin_restoring(shop.redis, DEFAULT_PIPELINE, ids[0])
    successor = RedisLoss(desk)
    await successor.restore_if_lost(sweep)
    assert await generation.memory(shop.redis, DEFAULT_PIPELINE) == "whole"
    assert await shop.in_line() == ids  # and what had been published by then is not doubled


async def test_a_redis_that_forgets_while_it_is_restored_is_noticed(shop: Shop) -> None:
    (one,) = await shop.accept(1)
    await generation.begin_restoring(shop.redis, DEFAULT_PIPELINE, one)
    await shop.redis.flushall()
    assert not await generation.finish_restoring(shop.redis, DEFAULT_PIPELINE, one)
    assert await generation.memory(shop.redis, DEFAULT_PIPELINE) == "gone"


async def test_a_redis_that_remembers_is_left_alone(
    shop: Shop, memory: RedisLoss, sweep: Sweep, line_redis: Redis
) -> None:
    value = await line_redis.get(keys.epoch(DEFAULT_PIPELINE))
    await shop.accept(3)
    await memory.restore_if_lost(sweep)
    assert await line_redis.get(keys.epoch(DEFAULT_PIPELINE)) == value
    assert await shop.in_line() == []
