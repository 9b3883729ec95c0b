"""Commits that Postgres holds until a test lets them happen."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shortlist.storage.postgres import Connection

_HOLD = """
CREATE FUNCTION hold_the_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(4712);
    RETURN NULL;
END
$$
"""
_TRIGGER = """
CREATE CONSTRAINT TRIGGER hold_the_commit AFTER INSERT OR UPDATE ON {table}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold_the_commit()
"""
_HELD = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'
"""


class HeldCommits:
    """What `holding` yields."""

    def __init__(self, connection: Connection) -> None:
        """``connection``: has the lock that they wait for."""
        self._connection = connection

    async def is_one_there(self) -> bool:
        """Tell if a transaction waits in its commit."""
        return bool(await self._connection.fetchval(_HELD))

    async def until_one_is_there(self) -> None:
        """Wait until Postgres holds a commit."""
        await until(self.is_one_there, what="Postgres holds a commit", poll_seconds=0.01)

    async def let_happen(self) -> None:
        """Let those that wait happen, and all that come."""
        await self._connection.execute("SELECT pg_advisory_unlock_all()")


@asynccontextmanager
async def holding(connection: Connection, *tables: str) -> AsyncIterator[HeldCommits]:
    """Hold each commit that writes to one of some tables, from now on.

    Args:
        connection: of the owner of the tables; nothing else may use it for advisory locks.
        tables: by name.
    """
    await connection.execute(_HOLD)
    for table in tables:
        await connection.execute(_TRIGGER.format(table=table))
    await connection.execute("SELECT pg_advisory_lock(4712)")
    held = HeldCommits(connection)
    try:
        yield held
    finally:
        await held.let_happen()
