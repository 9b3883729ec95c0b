"""One connection for one user: opened when it is first used, and anew after a break."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage.postgres.connection import close_quickly

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.storage.postgres import Connection


async def _nothing(_: Connection) -> None:
    """For a user who need not know of a new connection."""


class ReopeningConnection:
    """At most one connection. For one task at a time, as a connection is."""

    def __init__(
        self,
        open_connection: Callable[[], Awaitable[Connection]],
        on_opened: Callable[[Connection], Awaitable[None]] = _nothing,
    ) -> None:
        """Nothing is opened before `get`. ``on_opened`` is called with each new connection.

        When ``on_opened`` fails, or is cancelled, the connection is not used.
        """
        self._open_connection = open_connection
        self._on_opened = on_opened
        self._connection: Connection | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is one, and it has not been found broken."""
        return self._connection is not None and not self._connection.is_closed()

    async def get(self) -> Connection:
        """Return the connection; raises what opening raises."""
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        connection = await self._open_connection()
        try:
            await self._on_opened(connection)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        return connection

    def terminate(self) -> None:
        """Break the connection, as its answers cannot be relied on; the next use opens another."""
        if self._connection is not None:
            self._connection.terminate()

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            await close_quickly(self._connection)
