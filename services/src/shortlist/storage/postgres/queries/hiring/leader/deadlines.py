"""Finds for the leader what time has caused in openings, and locks those that it settles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.hiring.placement import OpeningId
from shortlist.storage.faults import has_state
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Sequence

    from shortlist.storage.postgres import Connection

_LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True, slots=True)
class Due:
    """What is due in an opening: how many items, and for how many seconds the oldest has been."""

    opening_id: OpeningId
    items: int
    late_seconds: float


async def next_due(connection: Connection, after: dt.datetime) -> tuple[dt.datetime, float | None]:
    """Return Postgres's time, and the seconds until time causes something.

    Negative: it has been due for so long. None: nothing is to come. Offers with a deadline up to
    ``after`` are left out.
    """
    row = await SQL["deadlines.next_due"].fetchrow(connection, after=after)
    assert row is not None
    return row["now"], row["seconds"]


async def due(
    connection: Connection, after: dt.datetime, excluded: Collection[OpeningId], limit: int
) -> list[Due]:
    """List openings in which something is due, the longest due first.

    ``limit``: offers, and openings, that are looked at.
    """
    rows = await SQL["deadlines.due"].fetch(
        connection, after=after, excluded=list(excluded), limit=limit
    )
    return [Due(OpeningId(r["opening_id"]), r["items"], r["late_seconds"]) for r in rows]


async def lock_free(connection: Connection, ids: Sequence[OpeningId]) -> list[OpeningId]:
    """Lock those openings that no other transaction has locked; return them, ascending."""
    rows = await SQL["deadlines.lock_free"].fetch(connection, ids=ids)
    return [OpeningId(row["id"]) for row in rows]


async def lock_in_time(
    connection: Connection, opening_id: OpeningId, timeout_seconds: float
) -> list[OpeningId]:
    """Lock an opening, and return it. Raises what `is_locked` tells when that takes too long."""
    milliseconds = str(round(timeout_seconds * 1000))
    await SQL["server.lock_timeout"].fetchval(connection, milliseconds=milliseconds)
    rows = await SQL["deadlines.lock"].fetch(connection, id=opening_id)
    return [OpeningId(row["id"]) for row in rows]


def is_locked(error: BaseException) -> bool:
    """Tell whether an error means that another transaction kept a lock for too long."""
    return has_state(error, _LOCK_NOT_AVAILABLE)
