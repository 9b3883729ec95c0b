"""Bounded waits on conditions, so that no test sleeps and hopes."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from shortlist.runtime import tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

T = TypeVar("T")

_POLL_SECONDS = 0.05

PATIENCE_SECONDS = 90.0
"""For what takes a moment, and is not promised in time: a machine may have other things to do."""


async def until(
    look: Callable[[], Awaitable[T]],
    *,
    what: str,
    within_seconds: float = PATIENCE_SECONDS,
    poll_seconds: float = _POLL_SECONDS,
) -> T:
    """The first true value that ``look`` gives; an `AssertionError` when there is none in time."""
    deadline = time.monotonic() + within_seconds
    while True:
        if found := await look():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_seconds} s: {what}")
        await asyncio.sleep(poll_seconds)


@asynccontextmanager
async def beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do some work for the length of a block, and end it then; what it raised is raised."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await tasks.end([task])
        (ended,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended
