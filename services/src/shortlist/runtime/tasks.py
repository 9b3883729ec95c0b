"""Running tasks side by side, ending them for certain, and waiting for a bounded time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

_AGAIN_SECONDS = 1.0
"""Long enough for a task to tidy up after the first time."""


class Tasks:
    """What runs side by side, where it matters when any of it ends."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._running: set[asyncio.Task[object]] = set()

    def start(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """Run something, too."""
        task = asyncio.create_task(work)
        self._running.add(task)
        return task

    async def first(self) -> None:
        """Wait until one of them ends; an error that ended it is raised."""
        done, self._running = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def end(self) -> None:
        """Cancel what still runs."""
        await end(self._running)
        await asyncio.gather(*self._running, return_exceptions=True)  # errors have been looked at


async def end(tasks: Iterable[asyncio.Task[Any]], *, again_seconds: float = _AGAIN_SECONDS) -> None:
    """Cancel tasks, and again, until all of them have ended; their errors are not raised.

    ``again_seconds``: between the times. A task that takes longer to tidy up is interrupted in it.

    Once is not always enough: until Python 3.12 `asyncio.wait_for` may swallow a cancellation that
    arrives together with its result (CPython issue 86296). A loop that catches time-outs then goes
    on for ever, and the task that waits for its end with it; seen on a very busy machine.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again_seconds)


async def wait_until_set(event: asyncio.Event, timeout_seconds: float | None) -> bool:
    """Wait for an event for so many seconds at most (None: for ever); whether it is set.

    Not by `asyncio.wait_for`, for the reason that `end` gives.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            await event.wait()
    return event.is_set()


async def poll_until(ask: Callable[[], Awaitable[bool]], interval_seconds: float) -> None:
    """Ask again and again until the answer is yes: for what sends no event, as another process."""
    while True:
        if await ask():
            return
        await asyncio.sleep(interval_seconds)


async def end_all_others() -> None:
    """End every task of this loop but the one that asks."""
    await end(asyncio.all_tasks() - {asyncio.current_task()})
