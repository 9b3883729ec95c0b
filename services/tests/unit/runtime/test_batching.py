from __future__ import annotations

import asyncio

import pytest

from shortlist.runtime.batching import Batcher


async def test_what_arrives_while_a_batch_runs_becomes_the_next_batch() -> None:
    batches: list[list[int]] = []
    go_on = asyncio.Event()

    async def double(items: list[int]) -> list[int]:
        batches.append(items)
        await go_on.wait()
        return [2 * item for item in items]

    batcher = Batcher(double)
    first = batcher.submit(1)
    await asyncio.sleep(0)
    rest = [batcher.submit(n) for n in (2, 3)]
    go_on.set()
    assert await asyncio.gather(first, *rest) == [2, 4, 6]
    assert batches == [[1], [2, 3]]


async def test_an_error_reaches_everyone_of_its_batch_and_nobody_else() -> None:
    async def fail_once(items: list[int]) -> list[int]:
        if 1 in items:
            raise ValueError("no ones")
        return items

    batcher = Batcher(fail_once)
    bad = batcher.submit(1)
    with pytest.raises(ValueError, match="no ones"):
        await bad
    assert await batcher.submit(2) == 2


async def test_a_caller_that_went_away_does_not_harm_its_batch() -> None:
    async def same(items: list[int]) -> list[int]:
        await asyncio.sleep(0)
        return items

    batcher = Batcher(same)
    gone, stays = batcher.submit(1), batcher.submit(2)
    gone.cancel()
    assert await stays == 2


async def test_no_more_than_overlap_batches_run_at_once() -> None:
    running = most = 0

    async def count(items: list[int]) -> list[int]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return items

    batcher = Batcher(count, overlap=2, max_batch=1)
    await asyncio.gather(*(batcher.submit(n) for n in range(20)))
    assert most == 2


async def test_a_batch_ends_with_what_makes_it_heavy_enough_and_each_weight_is_given_back() -> None:
    batches: list[list[int]] = []
    held: list[int] = []

    async def run(items: list[int]) -> list[int]:
        batches.append(items)
        await asyncio.sleep(0)
        if 9 in items:
            raise ValueError("no nines")
        return items

    batcher = Batcher(run, weigh=lambda item: item, max_weight=5, hold=held.append)
    done = [batcher.submit(n) for n in (1, 2, 2, 7, 1, 9, 3)]
    assert sum(held) == 25
    await asyncio.gather(*done, return_exceptions=True)
    assert batches == [[1, 2, 2], [7], [1, 9], [3]]
    assert sum(held) == 0
    batcher.submit(4)
    behind = batcher.submit(4)
    await asyncio.sleep(0)
    waiting = batcher.submit(6)
    batcher.fail_waiting(ValueError("no time"))
    await batcher.join()
    assert sum(held) == 0
    assert behind.done()
    assert waiting.done()
    assert isinstance(waiting.exception(), ValueError)
