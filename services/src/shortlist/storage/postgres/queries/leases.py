"""Leadership that never lets two lead.

A lease is a row with a holder, a term and an end. The leader shares an advisory lock inside each of
its transactions and then checks that the term is still its own; a replica that takes over needs
that lock alone. So a takeover waits for the transactions of the former leader, and each one that
begins later finds another term: a leader that was stopped and comes back writes nothing
(Kleppmann, "How to do distributed locking", 2016: fencing tokens). Renewing needs no lock, so that
a leader's own transactions never delay it.

A leader that was stopped in the middle of a transaction keeps its lock. A replica that has waited
a second for it ends its session: ``idle_in_transaction_session_timeout`` would not, as asyncpg
prepares a statement without a Sync, and a session that waits for what follows is not idle.

A leader that lets its lease run out and renews it before another replica took over stays in its
term: no other led in between, so all that it knows and all that it began is still right.

A term is of one run of one server: after a failover or a restore the row may be as it was, and what
the leader knows is of a server that had more, or other things. It writes nothing there.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.storage.faults import OutcomeError, has_state
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import AsyncIterator
    from uuid import UUID

    from shortlist.storage.postgres import Connection

_TAKEOVER_TIMEOUT_MILLISECONDS = 1000
"""How long a takeover waits for a former leader's transactions, before it ends them."""

_LOCK_NOT_AVAILABLE = "55P03"


class NotLeadingError(OutcomeError):
    """This replica does not lead: stop what a leader does."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Leadership of ``name`` in one term."""

    name: str
    holder: UUID
    term: int
    seconds: float
    """How long it runs after each renewal."""
    server: dt.datetime
    """When the server on which it was taken was started: which run of which server it is."""

    @property
    def longest_seconds(self) -> float:
        """An end that is further ahead was written by a clock that has been set back."""
        return 2 * self.seconds


async def take(connection: Connection, name: str, holder: UUID, seconds: float) -> Lease | None:
    """Lead in a new term; None while a lease runs, even the holder's own former one.

    None as well when a former leader's transaction was in the way: it has been ended, ask again.
    """
    longest_seconds = 2 * seconds
    if await SQL["leases.running"].fetchval(connection, name=name, longest_seconds=longest_seconds):
        return None
    try:
        async with connection.transaction(isolation="read_committed"):
            await SQL["server.lock_timeout"].fetchval(
                connection, milliseconds=str(_TAKEOVER_TIMEOUT_MILLISECONDS)
            )
            await SQL["leases.lock_alone"].fetchval(connection, name=name)
            taken = await SQL["leases.take"].fetchrow(
                connection, name=name, holder=holder, seconds=seconds
            )
    except Exception as error:
        if not has_state(error, _LOCK_NOT_AVAILABLE):
            raise
        await SQL["leases.end_former_leaders"].fetch(
            connection, name=name, longest_seconds=longest_seconds
        )
        return None
    return None if taken is None else Lease(name, holder, taken["term"], seconds, taken["server"])


async def renew(connection: Connection, lease: Lease) -> bool:
    """Lead on for the lease's time from now; False when another has, or on another server."""
    renewed = await SQL["leases.renew"].fetchval(
        connection,
        name=lease.name,
        holder=lease.holder,
        term=lease.term,
        seconds=lease.seconds,
        server=lease.server,
    )
    return bool(renewed)


@asynccontextmanager
async def leading(connection: Connection, lease: Lease) -> AsyncIterator[None]:
    """Open a transaction that only the leader can run. Raises `NotLeadingError` before its body.

    Keep it short: a takeover waits for its end.
    """
    async with connection.transaction(isolation="read_committed"):
        # Two statements: the second one's snapshot is newer than the lock.
        await SQL["leases.lock_shared"].fetchval(connection, name=lease.name)
        await _refuse_former_leader(connection, lease)
        yield


async def _refuse_former_leader(connection: Connection, lease: Lease) -> None:
    """Raise `NotLeadingError` unless the lease is still held, by Postgres's clock."""
    ours = await SQL["leases.check"].fetchval(
        connection,
        name=lease.name,
        holder=lease.holder,
        term=lease.term,
        longest_seconds=lease.longest_seconds,
        server=lease.server,
    )
    if not ours:
        raise NotLeadingError(lease.name)


async def give_up(connection: Connection, lease: Lease) -> None:
    """End the lease, so that the next leader need not wait for it to run out, on any clock."""
    await SQL["leases.give_up"].execute(
        connection, name=lease.name, holder=lease.holder, term=lease.term
    )
