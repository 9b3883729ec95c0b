from __future__ import annotations

import asyncio
from contextlib import suppress

from shortlist.runtime import tasks


async def _swallows_one_cancellation() -> None:
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(1000)
    await asyncio.sleep(1000)


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    stubborn = asyncio.create_task(_swallows_one_cancellation())
    await asyncio.sleep(0)
    await asyncio.wait_for(tasks.end([stubborn]), 20)
    assert stubborn.cancelled()


async def test_what_runs_side_by_side_is_ended_though_it_swallows_a_cancellation() -> None:
    side_by_side = tasks.Tasks()
    stubborn = side_by_side.start(_swallows_one_cancellation())
    await asyncio.sleep(0)
    await asyncio.wait_for(side_by_side.end(), 20)
    assert stubborn.cancelled()


async def test_what_a_task_raises_is_not_raised() -> None:
    async def fail() -> None:
        raise ValueError

    broken = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await tasks.end([broken])
    assert isinstance(broken.exception(), ValueError)


async def test_all_others_end_and_the_one_that_asks_goes_on() -> None:
    other = asyncio.create_task(asyncio.sleep(1000))
    await tasks.end_all_others()
    assert other.cancelled()


async def test_waiting_for_an_event_ends_when_it_is_set_or_when_the_time_is_over() -> None:
    event = asyncio.Event()
    assert not await tasks.wait_until_set(event, 0.01)
    waiting = asyncio.create_task(tasks.wait_until_set(event, 1000))
    await asyncio.sleep(0)
    event.set()
    assert await asyncio.wait_for(waiting, 20)
