"""Removes rows past their retention, in bounded batches, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from uuid import UUID

    from shortlist.storage.postgres import Connection


async def witness_time(
    connection: Connection, name: str, passed_seconds: float
) -> tuple[dt.datetime, float]:
    """Return the time by which ``name`` may remove, and how far Postgres's clock is ahead.

    It follows Postgres's clock, but no faster than ``passed_seconds`` since it was last asked.
    """
    row = await SQL["retention.witness_time"].fetchrow(
        connection, name=name, passed_seconds=passed_seconds
    )
    assert row is not None
    return row["at"], row["ahead_seconds"]


async def oldest(connection: Connection, after: UUID, below: UUID, limit: int) -> list[UUID]:
    """List ids between two, in order."""
    rows = await SQL["retention.oldest"].fetch(connection, after=after, below=below, limit=limit)
    return [row["id"] for row in rows]


async def remove_finished(
    connection: Connection, ids: Sequence[UUID], *, before: dt.datetime, archive: bool
) -> int:
    """Remove those that were finished before a time, with all that belongs to them."""
    removed = SQL["retention.remove_finished"].fetchval(
        connection, ids=ids, before=before, archive=archive
    )
    return int(await removed)


async def remove_idempotency_keys(
    connection: Connection, *, after: dt.datetime, before: dt.datetime, below: UUID, limit: int
) -> dt.datetime | None:
    """Forget keys made between two times, oldest first; until when, or None if there was none.

    Those of applications with an id of ``below`` and above stay, whatever clock their time is of.
    """
    removed: dt.datetime | None = await SQL["retention.remove_idempotency_keys"].fetchval(
        connection, after=after, before=before, limit=limit, below=below
    )
    return removed
