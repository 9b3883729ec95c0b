"""How many connections Postgres has to give, and who holds how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    row = await connection.fetchrow(
        """
        SELECT current_setting('max_connections')::int AS most,
               current_setting('superuser_reserved_connections')::int AS superuser,
               coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved
        """
    )
    assert row is not None
    return ConnectionLimits(row["most"], row["superuser"], row["reserved"])


async def open_by_worker(connection: Connection) -> dict[str, int]:
    """Worker id → its connections as Postgres counts them, whatever the worker says."""
    rows = await connection.fetch(
        """
        SELECT substr(application_name, length($1) + 1) AS worker_id, count(*) AS open
        FROM pg_stat_activity WHERE starts_with(application_name, $1)
        GROUP BY 1
        """,
        WORKER_APPLICATION_NAME,
    )
    return {row["worker_id"]: row["open"] for row in rows}
