from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shortlist.domain.line.application import PipelineName
from shortlist.domain.line.scoring import LONGEST_PAUSE_SECONDS
from shortlist.storage.redis import keys, model_limits
from testkit.waiting import until

if TYPE_CHECKING:
    from shortlist.storage.redis import Redis

DEFAULT = PipelineName("default")


async def test_a_pipeline_is_not_paused_until_somebody_pauses_it(line_redis: Redis) -> None:
    assert await model_limits.paused_for(line_redis, DEFAULT) == 0
    await model_limits.pause(line_redis, DEFAULT, 30)
    assert 20 < await model_limits.paused_for(line_redis, DEFAULT) <= 30


async def test_a_pause_is_one_pipelines_own(line_redis: Redis) -> None:
    await model_limits.pause(line_redis, DEFAULT, 30)
    assert await model_limits.paused_for(line_redis, PipelineName("other")) == 0


async def test_a_pause_is_lengthened_and_never_shortened(line_redis: Redis) -> None:
    await model_limits.pause(line_redis, DEFAULT, 60)
    await model_limits.pause(line_redis, DEFAULT, 5)
    assert await model_limits.paused_for(line_redis, DEFAULT) > 40
    await model_limits.pause(line_redis, DEFAULT, 120)
    assert await model_limits.paused_for(line_redis, DEFAULT) > 100


async def test_many_pauses_at_once_leave_the_longest(line_redis: Redis) -> None:
    await asyncio.gather(*(model_limits.pause(line_redis, DEFAULT, s) for s in range(1, 60)))
    assert await model_limits.paused_for(line_redis, DEFAULT) > 40


async def test_a_pause_ends_by_itself(line_redis: Redis) -> None:
    await model_limits.pause(line_redis, DEFAULT, 0.05)

    async def over() -> bool:
        return await model_limits.paused_for(line_redis, DEFAULT) == 0

    async def left_behind() -> bool:
        return bool(await line_redis.exists(keys.limiter(DEFAULT)))

    await until(over, within_seconds=10, what="the pause is over")
    while await left_behind():  # for the rest of its last millisecond, of which PTTL says 0
        assert await line_redis.pttl(keys.limiter(DEFAULT)) in {0, -2}


async def test_an_absurd_pause_is_bounded(line_redis: Redis) -> None:
    await model_limits.pause(line_redis, DEFAULT, 1e12)
    assert await model_limits.paused_for(line_redis, DEFAULT) <= LONGEST_PAUSE_SECONDS


async def test_asking_for_no_pause_makes_none(line_redis: Redis) -> None:
    await model_limits.pause(line_redis, DEFAULT, 0)
    await model_limits.pause(line_redis, DEFAULT, -1)
    assert not await line_redis.exists(keys.limiter(DEFAULT))
