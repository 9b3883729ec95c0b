"""Removes rows past their retention, in bounded batches, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from uuid import UUID

    from shortlist.storage.postgres import Connection


_WITNESS = "retention"


async def witness_time(connection: Connection, passed_seconds: float) -> tuple[dt.datetime, float]:
    """The time by which things are old enough, and how far Postgres's clock is ahead of it.

    It follows Postgres's clock, but no faster than ``passed_seconds`` since it was last asked.
    """
    row = await connection.fetchrow(SQL["witness_time"], _WITNESS, passed_seconds)
    assert row is not None
    return row["at"], row["ahead_seconds"]


async def oldest(connection: Connection, after: UUID, below: UUID, limit: int) -> list[UUID]:
    """Ids between two, in order."""
    rows = await connection.fetch(
        "SELECT id FROM applications WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3",
        after,
        below,
        limit,
    )
    return [row["id"] for row in rows]


async def remove_finished(
    connection: Connection, ids: Sequence[UUID], *, before: dt.datetime, archive: bool
) -> int:
    """Remove those that were finished before a time, with all that belongs to them."""
    return int(await connection.fetchval(SQL["remove_finished"], ids, before, archive))


async def remove_idempotency_keys(
    connection: Connection, *, after: dt.datetime, before: dt.datetime, below: UUID, limit: int
) -> dt.datetime | None:
    """Forget keys made between two times, oldest first; until when, or None if there was none.

    Those of applications with an id of ``below`` and above stay, whatever clock their time is of.
    """
    removed: dt.datetime | None = await connection.fetchval(
        """
        WITH removed AS (
            DELETE FROM idempotency_keys WHERE key IN (
                SELECT key FROM idempotency_keys
                WHERE created_at >= $1 AND created_at < $2 AND application_id < $4
                ORDER BY created_at LIMIT $3)
            RETURNING created_at),
        scoped AS (
            DELETE FROM scoped_idempotency_keys WHERE (route, pipeline, key) IN (
                SELECT route, pipeline, key FROM scoped_idempotency_keys
                WHERE created_at >= $1 AND created_at < $2 AND application_id < $4
                ORDER BY created_at LIMIT $3)
            RETURNING created_at)
        -- What the other one still has is found again from there.
        SELECT least((SELECT max(created_at) FROM removed), (SELECT max(created_at) FROM scoped))
        """,
        after,
        before,
        limit,
        below,
    )
    return removed
