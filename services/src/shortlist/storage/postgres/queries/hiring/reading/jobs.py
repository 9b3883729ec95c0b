"""Openings and applicants as they are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from asyncpg import Record

    from shortlist.storage.postgres import Connection


async def openings(connection: Connection, *, after: int, limit: int) -> list[Record]:
    """List openings behind an id, oldest first, each with ``held`` and ``waiting``."""
    return await SQL["job_views.openings"].fetch(connection, after=after, limit=limit)


async def opening(connection: Connection, opening_id: int) -> Record | None:
    """Read one opening with its newest event's totals, sequence and digest; ``now``: the time."""
    return await SQL["job_views.opening"].fetchrow(connection, opening_id=opening_id)


async def count_openings(connection: Connection) -> int:
    """Count all openings."""
    return int(await SQL["job_views.count_openings"].fetchval(connection))


async def applicants(connection: Connection, *, after: int, limit: int) -> list[Record]:
    """List applicants behind an id, oldest first; not those who were erased."""
    return await SQL["job_views.applicants"].fetch(connection, after=after, limit=limit)


async def applicant(connection: Connection, applicant_id: int) -> Record | None:
    """Read one applicant, unless erased; ``now``: the time."""
    return await SQL["job_views.applicant"].fetchrow(connection, applicant_id=applicant_id)


async def count_applicants(connection: Connection) -> int:
    """Count applicants who were not erased."""
    return int(await SQL["job_views.count_applicants"].fetchval(connection))
