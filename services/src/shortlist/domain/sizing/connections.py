"""How many applications a worker may hold for the connections it was granted (promise 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from shortlist.domain.line.application import ConnectionMode


PER_JOB_WANTS_SESSIONS = (
    "perJob keeps a session of Postgres for each score, and a pooler in transaction mode has none; "
    "use perWrite, or a DATABASE_URL that leads to Postgres itself"
)


def slots_for(grant: int, *, overhead: int, concurrency: int, mode: ConnectionMode) -> int:
    """Count applications that a grant allows to be scored at once.

    ``perJob``: one connection each, after ``overhead`` for the worker itself (invariant I1 of
    ``docs/autoscaling.md``). ``perWrite``: all of them share what is left,
    as long as that is one connection at least.
    """
    spare = grant - overhead
    if mode == "perJob":
        return max(0, min(concurrency, spare))
    if mode == "perWrite":
        return concurrency if spare >= 1 else 0
    assert_never(mode)


def claims_for(slots: int, *, overhead: int, mode: ConnectionMode) -> int:
    """Count applications to claim at once, so that ``slots`` of them are scored at any time.

    While one is written, the next is claimed already, and its score starts without a round trip.
    A fifth more than the slots: what waits here, claimed, waits about that share of a score. In
    ``perJob`` each needs a connection, for which an ``overhead`` above 1 leaves room: 1 is the
    worker's own, so in flight ≤ grant - 1.
    """
    ahead = slots // 5
    if mode == "perJob":
        return slots + min(ahead, overhead - 1)
    if mode == "perWrite":
        return slots + ahead
    assert_never(mode)


def connections_wanted(*, concurrency: int, overhead: int, mode: ConnectionMode) -> int:
    """Return the grant that lets a worker use its whole concurrency."""
    if mode == "perJob":
        return concurrency + overhead
    if mode == "perWrite":
        return 1 + overhead
    assert_never(mode)
