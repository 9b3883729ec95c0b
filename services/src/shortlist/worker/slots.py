"""How many applications may be in flight, and scored: semaphores whose limits move in use."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from shortlist.runtime.waiters import Waiters


class Slots:
    """A semaphore whose limit moves: below what is taken, none enters until enough have left."""

    def __init__(self, limit: int) -> None:
        """Start with ``limit`` ≥ 0 free slots."""
        self._limit = limit
        self._taken = 0
        self._leaving = 0
        self._waiters = Waiters()
        self._changed = asyncio.Event()

    @property
    def limit(self) -> int:
        """Return the most that may be taken."""
        return self._limit

    @property
    def taken(self) -> int:
        """Count the slots in use."""
        return self._taken

    @property
    def free(self) -> int:
        """Count slots neither taken nor waited for, now or in a moment; negative after a shrink."""
        return self._limit - self._taken - len(self._waiters) + self._leaving

    def resize(self, limit: int) -> None:
        """Move the limit; a larger one lets waiters in at once."""
        self._limit = limit
        self._let_in()

    def let_all_in(self) -> None:
        """Wake all waiters, ignoring the limit; they see that the worker stops, and return."""
        while self._waiters:
            self._let_one_in()

    async def take(self) -> None:
        """Wait for a slot, first come, first served."""
        if self._taken < self._limit and not self._waiters:
            self._taken += 1
            return
        try:
            await self._waiters.wait(pass_on=self.give_back)
        except asyncio.CancelledError:
            self._changed.set()
            raise

    def leave_soon(self) -> None:
        """Announce that only the write is left to do: the puller may fetch work for this slot."""
        self._leaving += 1
        self._changed.set()

    def give_back(self) -> None:
        """Leave a slot."""
        self._taken -= 1
        self._leaving = max(0, self._leaving - 1)
        self._let_in()

    async def wait_free(self) -> int:
        """Wait until some slot is free, or will be in a moment; returns how many are.

        Tasks that were made to take one and have not begun yet do so first.
        """
        await asyncio.sleep(0)
        while self.free <= 0:
            self._changed.clear()
            await self._changed.wait()
        return self.free

    def _let_in(self) -> None:
        while self._waiters and self._taken < self._limit:
            self._let_one_in()
        self._changed.set()

    def _let_one_in(self) -> None:
        if self._waiters.wake_one():
            self._taken += 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What one worker may do at once: hold claims, and score some of what it has claimed."""

    in_flight: Slots
    scoring: Slots

    @classmethod
    def of(cls, *, in_flight: int, scoring: int) -> Limits:
        """Make both; nothing is taken yet."""
        return cls(Slots(in_flight), Slots(max(1, scoring)))

    def resize(self, *, in_flight: int, scoring: int) -> None:
        """Move both; at least one may score, so that what is claimed can always be finished."""
        self.in_flight.resize(in_flight)
        self.scoring.resize(max(1, scoring))
