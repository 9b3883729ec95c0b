"""Removes what hiring need not keep, in bounded batches, oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.hiring.placement import ApplicantId
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt

    from shortlist.storage.postgres import Connection


@dataclass(frozen=True, slots=True)
class Slice:
    """Some applicants by their ids: how many were looked at, the last, and those who are done."""

    looked_at: int
    last: ApplicantId | None
    done: tuple[ApplicantId, ...]


async def remove_answers(
    connection: Connection, *, after: dt.datetime, before: dt.datetime, limit: int
) -> tuple[int, dt.datetime | None]:
    """Remove answers given between two times, oldest first; how many, and until when."""
    row = await SQL["hiring_retention.remove_answers"].fetchrow(
        connection, after=after, before=before, limit=limit
    )
    assert row is not None
    return row["removed"], row["until"]


async def applicants_done(
    connection: Connection, *, after: ApplicantId, before: dt.datetime, limit: int
) -> Slice:
    """Find applicants with no live application, and none that changed since ``before``.

    ``limit``: applicants that are looked at, from behind ``after``.
    """
    row = await SQL["hiring_retention.applicants_done"].fetchrow(
        connection, after=after, before=before, limit=limit
    )
    assert row is not None
    return Slice(row["looked_at"], row["last"], tuple(map(ApplicantId, row["done"])))
