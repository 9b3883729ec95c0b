from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from uuid_utils.compat import uuid7

from shortlist.domain.line.application import PipelineName, WorkerId
from shortlist.domain.line.scoring import RefusedError
from shortlist.storage import redis, snapshots
from shortlist.storage.redis import keys, model_limits
from shortlist.worker import gate as gates
from shortlist.worker.gate import Gate
from testkit.waiting import until

if TYPE_CHECKING:
    from shortlist.storage.redis import Redis

DEFAULT = PipelineName("default")
BAD_KEY = RefusedError("claude: 401 authentication_error", ask_again_seconds=60)
SOON = RefusedError("claude: 401 authentication_error", ask_again_seconds=0.3)


def gate(client: Redis) -> Gate:
    return Gate(client, DEFAULT, WorkerId(uuid7()))


async def enter(one: Gate, within_seconds: float = 5.0) -> str | None:
    """How it let a score through; None: it did not, for so long."""
    try:
        async with asyncio.timeout(within_seconds):
            return await one.enter(lambda: False)
    except TimeoutError:
        return None


@pytest.mark.parametrize(
    ("asked", "pauses"),
    [
        (0.0, [1, 2, 4, 8, 16, 32, 64, 64]),
        (-5.0, [1, 2]),
        (3.0, [3, 3, 4]),
        (1e12, [300, 300]),
        (float("inf"), [300]),
    ],
)
async def test_pauses_in_a_row_grow_and_are_bounded_both_ways(
    line_redis: Redis, monkeypatch: pytest.MonkeyPatch, asked: float, pauses: list[float]
) -> None:
    clock = 1000.0
    monkeypatch.setattr("shortlist.worker.gate.time.monotonic", lambda: clock)
    one = gate(line_redis)
    for seconds in pauses:
        await one.pause(asked)
        await one.pause(asked)  # of another slot, in the same pause
        assert one.paused_seconds == pytest.approx(seconds)
        clock += seconds
    await one.answered()
    await one.pause(0)
    assert one.paused_seconds == pytest.approx(1)


async def test_off_switch_of_the_least_pause(
    line_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "LEAST_PAUSE_SECONDS", 0.0)
    with pytest.raises(AssertionError):
        await test_pauses_in_a_row_grow_and_are_bounded_both_ways(
            line_redis, monkeypatch, 0.0, [1, 2]
        )


async def test_a_refusal_is_everybodys_and_one_at_a_time_asks_again(line_redis: Redis) -> None:
    first, second = gate(line_redis), gate(line_redis)
    assert await enter(first) == "open"
    refused = RefusedError("claude: 401 authentication_error", ask_again_seconds=2)
    await first.refuse(refused)
    await second.poll()
    assert second.refused == str(refused)
    look = await snapshots.read_line(line_redis, DEFAULT, snapshots.LineMemory())
    assert (look.refused, look.throttled) == (str(refused), True)
    assert await enter(second) == "probe"
    assert [await enter(one, 0.5) for one in (first, second)] == [None, None]
    await first.answered()
    await second.poll()
    assert [await enter(one) for one in (first, second)] == ["open", "open"]


async def test_who_was_to_ask_and_had_nothing_to_ask_about_passes_the_turn_on(
    line_redis: Redis,
) -> None:
    first, second = gate(line_redis), gate(line_redis)
    await first.refuse(BAD_KEY)
    await line_redis.delete(keys.probe(DEFAULT))
    await second.poll()
    assert await enter(second) == "probe"
    await second.leave_probe(asked=False)
    assert await enter(second) == "probe"


async def test_what_was_heard_before_a_refusal_does_not_end_it(line_redis: Redis) -> None:
    one = gate(line_redis)
    looking = asyncio.create_task(one.poll())
    await asyncio.sleep(0)
    await one.refuse(BAD_KEY)
    await looking
    assert one.refused == str(BAD_KEY)


async def test_without_redis_each_worker_asks_again_for_itself() -> None:
    away = redis.connect("redis://127.0.0.1:9/0", timeout_seconds=0.2)
    one = gate(away)
    await one.refuse(SOON)
    assert await enter(one) == "probe"
    await one.leave_probe(asked=True)
    await one.answered()
    assert await enter(one) == "open"
    await away.aclose()


async def test_a_pause_that_a_clock_made_endless_is_none(line_redis: Redis) -> None:
    """Redis keeps the end of a key as a time of day: a clock that is set back puts it off."""
    one = gate(line_redis)
    await line_redis.set(keys.limiter(DEFAULT), "1", px=100 * 86_400_000)
    await one.poll()
    assert await enter(one) == "open"
    await model_limits.pause(line_redis, DEFAULT, 1)
    assert 0 < await model_limits.paused_for(line_redis, DEFAULT) <= 1
    await one.refuse(SOON)
    await line_redis.set(keys.probe(DEFAULT), "x", px=100 * 86_400_000)
    assert await enter(one) == "probe"

    async def is_over() -> bool:
        await one.poll()
        return one.paused_seconds == 0

    await until(is_over, within_seconds=10, what="the pause is over")
