"""Ending tasks for certain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_AGAIN_SECONDS = 1.0
"""Long enough for a task to tidy up after the first time."""


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and again, until all of them have ended; their errors are not raised.

    Once is not always enough: until Python 3.12 `asyncio.wait_for` may swallow a cancellation that
    arrives together with its result (CPython issue 86296). A loop that catches time-outs then goes
    on for ever, and the task that waits for its end with it; seen on a very busy machine.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_SECONDS)


async def end_all_others() -> None:
    """End every task of this loop but the one that asks."""
    await end(asyncio.all_tasks() - {asyncio.current_task()})
