from __future__ import annotations

import asyncio

from shortlist.worker.slots import Limits, Slots


async def test_no_more_enter_than_the_limit() -> None:
    slots = Slots(2)
    await slots.take()
    await slots.take()
    third = asyncio.create_task(slots.take())
    await asyncio.sleep(0)
    assert not third.done()
    slots.give_back()
    await third
    assert slots.taken == 2


async def test_after_a_shrink_nobody_enters_until_enough_have_left() -> None:
    slots = Slots(3)
    for _ in range(3):
        await slots.take()
    slots.resize(1)
    waiting = asyncio.create_task(slots.take())
    slots.give_back()
    slots.give_back()
    await asyncio.sleep(0)
    assert not waiting.done()
    slots.give_back()
    await waiting
    assert slots.taken == 1


async def test_a_growing_limit_lets_waiters_in_at_once() -> None:
    slots = Slots(0)
    waiting = [asyncio.create_task(slots.take()) for _ in range(2)]
    await asyncio.sleep(0)
    slots.resize(2)
    await asyncio.gather(*waiting)
    assert (slots.taken, slots.free) == (2, 0)


async def test_a_waiter_that_gives_up_leaves_no_slot_taken() -> None:
    slots = Slots(1)
    await slots.take()
    waiting = asyncio.create_task(slots.take())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    slots.give_back()
    assert (slots.taken, slots.free) == (0, 1)


async def test_a_waiter_cancelled_in_the_moment_of_its_turn_passes_the_slot_on() -> None:
    slots = Slots(1)
    await slots.take()
    first, second = asyncio.create_task(slots.take()), asyncio.create_task(slots.take())
    await asyncio.sleep(0)
    slots.give_back()
    first.cancel()
    await asyncio.wait_for(second, 1)
    assert slots.taken == 1


async def test_wait_free_wakes_when_the_limit_grows() -> None:
    slots = Slots(0)
    waiting = asyncio.create_task(slots.wait_free())
    await asyncio.sleep(0)
    slots.resize(4)
    assert await asyncio.wait_for(waiting, 1) == 4


async def test_a_slot_that_somebody_is_about_to_take_is_not_free() -> None:
    slots = Slots(3)
    taking = [asyncio.create_task(slots.take()) for _ in range(2)]
    assert await slots.wait_free() == 1
    await asyncio.gather(*taking)


async def test_a_slot_that_is_left_soon_counts_as_free_and_is_taken_only_when_left() -> None:
    slots = Slots(1)
    await slots.take()
    looking = asyncio.create_task(slots.wait_free())
    await asyncio.sleep(0)
    slots.leave_soon()
    assert await asyncio.wait_for(looking, 1) == 1
    following = asyncio.create_task(slots.take())
    await asyncio.sleep(0)
    assert (following.done(), slots.free) == (False, 0)
    slots.give_back()
    await following
    assert (slots.taken, slots.free) == (1, 0)


async def test_a_slot_that_was_left_without_a_word_is_not_counted_twice() -> None:
    slots = Slots(2)
    await slots.take()
    await slots.take()
    slots.leave_soon()
    slots.give_back()
    slots.give_back()
    assert (slots.taken, slots.free) == (0, 2)


def test_what_is_claimed_can_be_scored_even_when_nothing_more_may_be_claimed() -> None:
    limits = Limits.of(in_flight=4, scoring=4)
    limits.resize(in_flight=0, scoring=0)
    assert (limits.in_flight.limit, limits.scoring.limit) == (0, 1)
