"""Retries that wait for their time."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from shortlist.domain.line.application import ApplicationId, PipelineName
from shortlist.storage.postgres.statements import SQL
from shortlist.storage.redis.line import Entry

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection

EVER = dt.datetime.min.replace(tzinfo=dt.UTC)


async def next_due(connection: Connection, behind: dt.datetime) -> tuple[dt.datetime, float | None]:
    """Postgres's time, and the seconds until the first retry behind ``behind`` is due.

    Negative: it has been due for so long. None: there is none.
    """
    row = await SQL["retries.next_due"].fetchrow(connection, after=behind)
    assert row is not None
    return row["now"], row["seconds"]


async def pipelines_due(connection: Connection, behind: dt.datetime) -> list[PipelineName]:
    """List pipelines that have retries behind ``behind`` that are due."""
    rows = await SQL["retries.pipelines_due"].fetch(connection, after=behind)
    return [PipelineName(row["name"]) for row in rows]


async def take_due(
    connection: Connection, pipeline: PipelineName, behind: dt.datetime, limit: int
) -> list[Entry]:
    """Remove those that are due, oldest first; the caller publishes them before it commits."""
    rows = await SQL["retries.take_due"].fetch(
        connection, after=behind, limit=limit, pipeline=pipeline
    )
    return [Entry(ApplicationId(row["id"]), row["traceparent"]) for row in rows]


async def counts(connection: Connection) -> dict[PipelineName, int]:
    """Return how many wait, by pipeline."""
    rows = await SQL["retries.counts"].fetch(connection)
    return {PipelineName(row["pipeline"]): row["count"] for row in rows}
