from __future__ import annotations

import asyncio

import pytest

from shortlist.runtime.waiters import Waiters


class Turns:
    """What is waited for here: who had a turn, in order."""

    def __init__(self) -> None:
        self.waiters = Waiters()
        self.taken: list[str] = []

    async def take(self, name: str) -> None:
        await self.waiters.wait(self.pass_on)
        self.taken.append(name)

    def pass_on(self) -> None:
        self.waiters.wake_one()


@pytest.fixture
def turns() -> Turns:
    return Turns()


async def waiting(turns: Turns, *names: str) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(turns.take(name)) for name in names]
    await asyncio.sleep(0)
    assert len(turns.waiters) == len(names)
    return tasks


async def test_turns_are_given_in_the_order_of_asking(turns: Turns) -> None:
    tasks = await waiting(turns, "first", "second", "third")
    for _ in tasks:
        assert turns.waiters.wake_one()
    await asyncio.wait_for(asyncio.gather(*tasks), 5)
    assert turns.taken == ["first", "second", "third"]


async def test_a_turn_is_given_to_one_task_only(turns: Turns) -> None:
    first, second = await waiting(turns, "first", "second")
    assert turns.waiters.wake_one()
    await asyncio.wait_for(first, 5)
    assert (len(turns.waiters), second.done()) == (1, False)
    second.cancel()


async def test_without_a_waiter_no_turn_is_given(turns: Turns) -> None:
    assert not turns.waiters.wake_one()


async def test_a_task_that_gives_up_waits_no_more(turns: Turns) -> None:
    first, second = await waiting(turns, "first", "second")
    first.cancel()
    await asyncio.wait([first])
    assert len(turns.waiters) == 1
    assert turns.waiters.wake_one()
    await asyncio.wait_for(second, 5)
    assert turns.taken == ["second"]


async def test_a_task_that_has_just_given_up_is_not_woken(turns: Turns) -> None:
    first, second = await waiting(turns, "first", "second")
    first.cancel()  # and has not run since
    assert turns.waiters.wake_one()
    await asyncio.wait_for(second, 5)
    assert first.cancelled()


async def test_a_turn_that_comes_together_with_a_cancellation_goes_to_the_next(
    turns: Turns,
) -> None:
    first, second = await waiting(turns, "first", "second")
    assert turns.waiters.wake_one()
    first.cancel()
    await asyncio.wait_for(second, 5)
    assert first.cancelled()
    assert turns.taken == ["second"]
