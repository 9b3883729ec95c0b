"""Leadership that never lets two lead.

A lease is a row with a holder, a term and an end. Whoever leads checks, inside each of its
transactions, that the term is still its own; the share lock of that check keeps the next leader
out until the transaction has ended. A leader that was stopped and comes back can therefore write
nothing (Kleppmann, "How to do distributed locking", 2016: fencing tokens).
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.failpoints import guarded
from shortlist.storage.sql import SQL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from shortlist.storage.postgres import Connection


class NotLeadingError(RuntimeError):
    """Somebody else leads, or nobody: stop what a leader does."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Leadership of ``name`` in one term."""

    name: str
    holder: UUID
    term: int


async def take(connection: Connection, name: str, holder: UUID, seconds: float) -> Lease | None:
    """Take or renew; None while somebody else's lease runs."""
    term = await connection.fetchval(SQL["take_lease"], name, holder, seconds)
    return None if term is None else Lease(name, holder, int(term))


@asynccontextmanager
async def leading(connection: Connection, lease: Lease) -> AsyncIterator[None]:
    """A transaction that only the leader can run. Raises `NotLeadingError` before its body."""
    async with connection.transaction():
        ours = await connection.fetchval(SQL["assert_lease"], lease.name, lease.holder, lease.term)
        if not ours and guarded("leader_fence"):
            raise NotLeadingError(lease.name)
        yield


async def give_up(connection: Connection, lease: Lease) -> None:
    """End the lease now, so that the next leader need not wait for it to run out."""
    await connection.execute(
        """
        UPDATE leases SET expires_at = clock_timestamp()
        WHERE name = $1 AND holder = $2 AND term = $3
        """,
        lease.name,
        lease.holder,
        lease.term,
    )
