"""Placements as they are now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from asyncpg import Record

    from shortlist.storage.postgres import Connection

Sort = Literal["position", "appliedAt", "score", "name"]
"""Orders of a company's list. ``score``: the best first, the unscored last."""

_TOLD = 1_000
"""Moved placements that are told one by one; offers, too."""


async def waiting(
    connection: Connection, opening_id: int, *, after: bytes, limit: int
) -> list[Record]:
    """List who waits behind a key, in the line's order, with names."""
    return await SQL["placement_views.waiting"].fetch(
        connection, opening_id=opening_id, after=after, limit=limit
    )


async def holders(
    connection: Connection,
    opening_id: int,
    *,
    since: dt.datetime | None,
    applied: int,
    limit: int,
) -> list[Record]:
    """List who holds places, in the order of getting them, with names.

    Args:
        connection: to Postgres.
        opening_id: whose.
        since: behind the one who got a place then; None: from the start.
        applied: and whose APPLIED event is this.
        limit: at most so many.
    """
    return await SQL["placement_views.holders"].fetch(
        connection, opening_id=opening_id, since=since, applied=applied, limit=limit
    )


async def of_applicant(connection: Connection, applicant_id: int) -> list[Record]:
    """List all of an applicant's placements with their openings' titles, oldest first."""
    return await SQL["placement_views.of_applicant"].fetch(connection, applicant_id=applicant_id)


async def one(connection: Connection, placement_id: int) -> Record | None:
    """Read one placement with its applicant and its opening's title."""
    return await SQL["placement_views.one"].fetchrow(connection, placement_id=placement_id)


async def scores(connection: Connection, placement_ids: Sequence[int]) -> list[Record]:
    """Read the newest score of each of some placements' payloads, as far as there is one."""
    return await SQL["placement_views.scores"].fetch(connection, placement_ids=placement_ids)


async def moved_ahead(
    connection: Connection, opening_id: int, key: bytes
) -> list[tuple[bytes, dt.datetime]]:
    """List whom the company has put in front of a key, and when; at most 1 000."""
    rows = await SQL["placement_views.moved_ahead"].fetch(
        connection, opening_id=opening_id, key=key, limit=_TOLD
    )
    return [(row["key"], row["at"]) for row in rows]


async def offers(connection: Connection, opening_id: int) -> list[dt.datetime]:
    """List the deadlines of an opening's offers, the earliest first; at most 1 000."""
    rows = await SQL["placement_views.offers"].fetch(connection, opening_id=opening_id, limit=_TOLD)
    return [row["deadline"] for row in rows]


@dataclass(frozen=True, slots=True)
class Filter:
    """What a company's list shows. ``statuses``: their codes (`codec.STATUS`); None: any."""

    statuses: Sequence[str] | None = None
    words: str | None = None
    minimum: float | None = None
    sort: Sort = "position"


async def found(
    connection: Connection,
    opening_id: int,
    which: Filter,
    *,
    after: tuple[float, bytes, int] | None,
    limit: int,
) -> tuple[list[Record], int]:
    """List an opening's placements by a filter, and count all that it lets through.

    Args:
        connection: to Postgres.
        opening_id: whose.
        which: the filter.
        after: behind the row with this ``rank``, ``text`` and ``id``; None: from the start.
        limit: at most so many.
    """
    rank, text, an_id = after or (None, None, None)
    rows = await SQL["placement_views.found"].fetch(
        connection,
        opening_id=opening_id,
        statuses=which.statuses,
        words=which.words,
        minimum=which.minimum,
        sort=which.sort,
        after_rank=rank,
        after_text=text,
        after_id=an_id,
        limit=limit,
    )
    return [row for row in rows if row["id"] is not None], rows[0]["total"]
