"""Openings and applicants to begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.domain.hiring.placement import ApplicantId, OpeningId, PlacementId
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from shortlist.storage.postgres import Connection


async def titles(connection: Connection) -> set[str]:
    """Return the titles of all openings."""
    return {row["title"] for row in await SQL["seeds.titles"].fetch(connection)}


async def clock(connection: Connection) -> dt.datetime:
    """Return Postgres's time, by which all is that is not in the past."""
    now: dt.datetime = await SQL["server.clock"].fetchval(connection)
    return now


async def is_there(connection: Connection, email_key: str) -> bool:
    """Tell whether an applicant is there."""
    found: bool = await SQL["seeds.is_there"].fetchval(connection, email_key=email_key)
    return found


async def add_applicants(
    connection: Connection,
    *,
    names: Sequence[str],
    emails: Sequence[str],
    email_keys: Sequence[str],
    times: Sequence[dt.datetime],
) -> list[ApplicantId]:
    """Make applicants who came at these times, which rise; returns their ids in that order."""
    rows = await SQL["seeds.applicants"].fetch(
        connection, names=names, emails=emails, email_keys=email_keys, times=times
    )
    return sorted(ApplicantId(row["id"]) for row in rows)


async def draw_placement_ids(connection: Connection, count: int) -> list[PlacementId]:
    """Draw ids of placements, which rise."""
    rows = await SQL["seeds.placement_ids"].fetch(connection, count=count)
    return [PlacementId(row["id"]) for row in rows]


async def set_created_at(connection: Connection, opening_id: OpeningId, at: dt.datetime) -> None:
    """Say that an opening was made at a time in the past."""
    await SQL["seeds.set_created_at"].execute(connection, opening_id=opening_id, at=at)
