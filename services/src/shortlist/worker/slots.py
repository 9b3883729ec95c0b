"""How many applications may be in flight: a semaphore whose limit moves while it is used."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress


class Slots:
    """``limit`` may shrink below what is taken: then nobody enters until enough have left."""

    def __init__(self, limit: int) -> None:
        """Start with ``limit`` ≥ 0 free slots."""
        self._limit = limit
        self._taken = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._changed = asyncio.Event()

    @property
    def limit(self) -> int:
        """The most that may be taken."""
        return self._limit

    @property
    def taken(self) -> int:
        """Slots in use."""
        return self._taken

    @property
    def free(self) -> int:
        """Slots that nobody uses or waits for; negative after a shrink or a crowd."""
        return self._limit - self._taken - len(self._waiters)

    def resize(self, limit: int) -> None:
        """Move the limit; a larger one lets waiters in at once."""
        self._limit = limit
        self._let_in()

    def let_all_in(self) -> None:
        """Nobody claims any more: waiters enter whatever the limit, to find that out and leave."""
        while self._waiters:
            self._let_one_in()

    async def take(self) -> None:
        """Wait for a slot, first come, first served."""
        if self._taken < self._limit and not self._waiters:
            self._taken += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            with suppress(ValueError):
                self._waiters.remove(waiter)
            if waiter.done() and not waiter.cancelled():
                self.give_back()
            self._changed.set()
            raise

    def give_back(self) -> None:
        """Leave a slot."""
        self._taken -= 1
        self._let_in()

    async def wait_free(self) -> int:
        """Wait until some slot is free; how many are."""
        while self.free <= 0:
            self._changed.clear()
            await self._changed.wait()
        return self.free

    def _let_in(self) -> None:
        while self._waiters and self._taken < self._limit:
            self._let_one_in()
        self._changed.set()

    def _let_one_in(self) -> None:
        waiter = self._waiters.popleft()
        if not waiter.done():
            self._taken += 1
            waiter.set_result(None)
