"""A connection through PgBouncer in transaction mode: each transaction may meet another session.

So nothing may outlive a transaction: no prepared statement, no lock of a session, no setting. The
time-outs that promises rest on must hold all the same: each statement runs in a transaction, and
each transaction begins with them (``SET LOCAL``), in the same message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg

from shortlist.storage.faults import is_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_ENDS = ("COMMIT", "ROLLBACK")


class PooledConnection(asyncpg.Connection):  # type: ignore[misc]
    """What it is asked to run outside of a transaction gets one of its own."""

    _set_local = ""
    _set_isolation = ""

    client_connections = 0
    """How many clients the pooler lets in."""

    def begin_with(self, settings: Mapping[str, str]) -> None:
        """Have these settings (our own constants) at the beginning of every transaction.

        The isolation among them holds for those that are begun without one of their own.
        """
        commands = {k: f"SET LOCAL {k} = '{v}';" for k, v in settings.items()}
        self._set_isolation = commands.pop("transaction_isolation", "")
        self._set_local = " ".join(commands.values())

    async def execute(self, query: str, *args: Any, **more: Any) -> Any:
        """Run a command; asyncpg's own transactions come by here too."""
        if query.startswith("BEGIN"):
            isolation = "" if "ISOLATION" in query else self._set_isolation
            return await super().execute(f"{query} {isolation} {self._set_local}", **more)
        if query.startswith(_ENDS):
            return await super().execute(query, **more)
        return await self._alone(super().execute, query, *args, **more)

    async def executemany(self, command: str, args: Any, **more: Any) -> None:
        """Run a command for each of some arguments."""
        await self._alone(super().executemany, command, args, **more)

    async def fetch(self, query: str, *args: Any, **more: Any) -> Any:
        """Run a query; its rows."""
        return await self._alone(super().fetch, query, *args, **more)

    async def fetchval(self, query: str, *args: Any, **more: Any) -> Any:
        """Run a query; one value of its first row."""
        return await self._alone(super().fetchval, query, *args, **more)

    async def fetchrow(self, query: str, *args: Any, **more: Any) -> Any:
        """Run a query; its first row."""
        return await self._alone(super().fetchrow, query, *args, **more)

    async def _alone(self, run: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> Any:
        """Run it in the transaction that is open, or in one of its own.

        A cancelled one hangs up instead of asking for a rollback: the server that did not answer
        would not answer that either, and the pooler rolls back what a client left open.
        """
        if self.is_in_transaction():
            return await run(*args, **more)
        try:
            await self.execute("BEGIN;")
            result = await run(*args, **more)
            await self.execute("COMMIT;")
        except BaseException as error:
            if not is_answer(error):
                self.terminate()
            elif self.is_in_transaction():
                await self.execute("ROLLBACK;")
            raise
        return result
