from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shortlist.runtime.start_pipe import StartPipe, until_open

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pipe() -> Iterator[StartPipe]:
    pipe = StartPipe()
    yield pipe
    pipe.open()
    pipe.close()


async def test_a_process_waits_until_the_supervisor_opens_the_pipe(pipe: StartPipe) -> None:
    waiting = [asyncio.create_task(until_open(pipe.reader)), asyncio.create_task(pipe.wait())]
    done, _ = await asyncio.wait(waiting, timeout=0.2)
    assert not done
    pipe.open()
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)


async def test_a_successor_begins_at_once(pipe: StartPipe) -> None:
    pipe.open()
    pipe.open()
    async with asyncio.timeout(5):
        await until_open(pipe.reader)
        await until_open(pipe.reader)
