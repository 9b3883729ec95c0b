"""How many connections Postgres has to give, and who holds how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection

WORKER_APPLICATION_NAME = "shortlist-worker "
"""What a worker's connections are called; its id follows."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Postgres's own settings, in connections."""

    max_connections: int
    superuser_reserved: int
    reserved: int

    def budget(self, reserved_for_others: int) -> int:
        """B: what all workers together may hold."""
        kept = self.superuser_reserved + self.reserved + reserved_for_others
        return max(0, self.max_connections - kept)


async def limits(connection: Connection) -> ConnectionLimits:
    """Read the limits live. ``reserved_connections`` is there from Postgres 16 on."""
    row = await SQL["connection_limits.limits"].fetchrow(connection)
    assert row is not None
    return ConnectionLimits(row["most"], row["superuser"], row["reserved"])


async def open_by_worker(connection: Connection) -> dict[str, int]:
    """Worker id → its connections as Postgres counts them, whatever the worker says."""
    rows = await SQL["connection_limits.open_by_worker"].fetch(
        connection, prefix=WORKER_APPLICATION_NAME
    )
    return {row["worker_id"]: row["open"] for row in rows}
