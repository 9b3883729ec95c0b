"""Tasks that wait for something of which there is not enough: first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Waiters:
    """A queue of tasks. What a turn means is up to the caller: `wake_one` gives one away."""

    def __init__(self) -> None:
        """None waits yet."""
        self._futures: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._futures)

    async def wait(self, pass_on: Callable[[], None]) -> None:
        """Wait for a turn.

        ``pass_on`` gives the turn to the next: called when this task is cancelled in the moment in
        which it was woken, so that the turn is not lost with it.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            with suppress(ValueError):
                self._futures.remove(turn)
            if turn.done() and not turn.cancelled():
                pass_on()
            raise

    def wake_one(self) -> bool:
        """Give a turn to the task that has waited longest; whether there was one."""
        while self._futures:
            turn = self._futures.popleft()
            if not turn.done():
                turn.set_result(None)
                return True
        return False
