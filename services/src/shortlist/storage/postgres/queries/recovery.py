"""What maintenance reads and writes to find lost applications, and to give up or revive others.

Its statements are cheap at any size of the tables: they walk the primary key of ``applications``
in slices and probe those of the other tables, which are only ever inserted into. Connections that
run them should be opened with `PLANNER_SETTINGS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.line.application import (
    MOST_AHEAD_MILLISECONDS,
    ApplicationId,
    PipelineName,
    lowest_id_at,
)
from shortlist.domain.line.suspicion import CONVICTED_AFTER
from shortlist.domain.line.sweep import NOTHING, Seen
from shortlist.storage.postgres import text
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from shortlist.storage.postgres import Connection

PLANNER_SETTINGS = {
    # Right after a mass insert the statistics are those of an emptier table: the planner would
    # read a whole range to return its first slice, or a whole table for each row.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
}


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of ids that was looked at."""

    scanned: int
    """How many applications there were, finished or not."""
    last: UUID | None
    """The id of the last one."""
    unfinished: list[ApplicationId]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline, and where its sweep may begin."""

    name: PipelineName
    swept_to: UUID


async def unfinished(
    connection: Connection, *, after: UUID, up_to: UUID, claimed_above: UUID, limit: int
) -> Slice:
    """Return which of the first ``limit`` applications above ``after`` are unfinished.

    Of those above ``claimed_above``, only the ones that were claimed at least once.
    """
    row = await SQL["recovery.unfinished"].fetchrow(
        connection, after=after, up_to=up_to, limit=limit, claimed_above=claimed_above
    )
    assert row is not None
    return Slice(row["scanned"], row["last"], row["unfinished"])


async def observe(
    connection: Connection, pipeline: PipelineName, ids: Sequence[ApplicationId]
) -> list[Seen]:
    """Read what is known of those of ``ids`` that are unfinished and of this pipeline."""
    rows = await SQL["recovery.observe"].fetch(
        connection, pipeline=pipeline, ids=ids, convicted_after=CONVICTED_AFTER
    )
    return [
        Seen(
            id=row["id"],
            attempt=row["attempt"],
            held=row["held"],
            scheduled=row["scheduled"],
            worker_id=row["worker_id"],
            open=row["open"],
            let_go=row["let_go"],
            known=row["known"],
            abandoned=row["abandoned"],
            alone=row["alone"],
            others_end=row["others_end"],
            traceparent=row["traceparent"],
        )
        for row in rows
    ]


async def not_unfinished(
    connection: Connection, ids: Sequence[ApplicationId]
) -> set[ApplicationId]:
    """Return which of these are finished, or gone altogether."""
    return {row["id"] for row in await SQL["recovery.not_unfinished"].fetch(connection, ids=ids)}


async def newest(connection: Connection) -> UUID:
    """Return the id of the newest application; `NOTHING` without any. Odd ones do not count."""
    found: UUID | None = await SQL["recovery.newest"].fetchval(
        connection, below=await first_odd(connection)
    )
    return found or NOTHING


async def first_odd(connection: Connection) -> UUID:
    """Return the id from which on ids are of no time that any clock of ours has shown."""
    milliseconds = await SQL["recovery.clock_milliseconds"].fetchval(connection)
    return lowest_id_at(milliseconds + MOST_AHEAD_MILLISECONDS)


async def pipelines(connection: Connection) -> list[Pipeline]:
    """List every pipeline that anything was ever accepted for."""
    rows = await SQL["recovery.pipelines"].fetch(connection)
    return [Pipeline(PipelineName(row["name"]), row["swept_to"]) for row in rows]


async def save_mark(connection: Connection, pipeline: PipelineName, mark: UUID) -> None:
    """Remember where the next leader's sweep may begin."""
    await SQL["recovery.save_mark"].execute(connection, pipeline=pipeline, mark=mark)


async def fail(
    connection: Connection, seen: Seen, pipeline: PipelineName, *, reason: str, actor: str
) -> bool:
    """Write that an application has failed; False when a worker claimed it meanwhile."""
    failed = SQL["claims.fail"].fetchval(
        connection,
        application_id=seen.id,
        attempt=seen.attempt,
        pipeline=pipeline,
        reason=text.clean(reason),
        actor=actor,
    )
    return bool(await failed)
