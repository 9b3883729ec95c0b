"""A pool of connections whose size is changed while it runs.

asyncpg's own pool cannot be resized. This one obeys a grant: it never holds more connections
than its limit, closes a surplus at once (not at the next idle time-out), and lets those that are
in use finish first.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from shortlist.domain.errors import ShortlistError
from shortlist.runtime.waiters import Waiters
from shortlist.storage.faults import breaks_connection
from shortlist.storage.postgres import Connection, close_quickly

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


class PoolClosedError(ShortlistError, RuntimeError):
    """A caller asked a closed pool for a connection."""


class ConnectionPool:
    """At most ``limit`` connections, opened when needed, newest reused first."""

    def __init__(self, open_connection: Callable[[], Awaitable[Connection]], limit: int) -> None:
        """``open_connection`` opens one; ``limit`` (≥ 0) may be changed by `resize`."""
        self._open_connection = open_connection
        self._limit = limit
        self._idle: list[Connection] = []
        self._open = 0  # opened or being opened, idle or lent
        self._waiters = Waiters()
        self._closed = False

    @property
    def open(self) -> int:
        """Connections that Postgres counts as ours, those being opened included."""
        return self._open

    @property
    def limit(self) -> int:
        """The most that may be open."""
        return self._limit

    async def resize(self, limit: int) -> None:
        """Set a new limit: close what is idle beyond it now, the rest as it comes back."""
        self._limit = limit
        surplus: list[Connection] = []
        while self._idle and self._open - len(surplus) > limit:
            surplus.append(self._idle.pop(0))
        await self._discard(*surplus)
        for _ in range(max(0, limit - self._open)):
            self._wake_one()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection for the length of a block; an error that breaks it closes it."""
        connection = await self.acquire()
        try:
            yield connection
        except BaseException as error:
            if breaks_connection(error):
                connection.terminate()
            raise
        finally:
            await self.release(connection)

    async def acquire(self) -> Connection:
        """Wait for a connection; opening one may fail."""
        while True:
            if self._closed:
                raise PoolClosedError
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
                self._forget_one()
            if self._open < self._limit:
                return await self._open_one()
            await self._waiters.wait(pass_on=self._wake_one)

    async def release(self, connection: Connection) -> None:
        """Take a lent connection back; closed when broken, in a transaction, or too many."""
        usable = not connection.is_closed() and not connection.is_in_transaction()
        if usable and not self._closed and self._open <= self._limit:
            self._idle.append(connection)
            self._wake_one()
        else:
            await self._discard(connection)

    async def discard(self, connection: Connection) -> None:
        """Take a lent connection back that must not be used again; waits until it is closed."""
        await self._discard(connection)

    async def close(self) -> None:
        """Close what is idle now and what is lent when it comes back."""
        self._closed = True
        idle, self._idle = self._idle, []
        await self._discard(*idle)
        while self._waiters:
            self._wake_one()

    async def _open_one(self) -> Connection:
        self._open += 1
        try:
            return await self._open_connection()
        except BaseException:
            self._forget_one()
            raise

    async def _discard(self, *connections: Connection) -> None:
        for connection in connections:
            try:
                await close_quickly(connection)
            finally:
                self._forget_one()

    def _forget_one(self) -> None:
        self._open -= 1
        self._wake_one()

    def _wake_one(self) -> None:
        self._waiters.wake_one()
