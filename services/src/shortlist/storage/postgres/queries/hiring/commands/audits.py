"""The audit, for its commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection


async def has_digest(connection: Connection, opening_id: int, digest: bytes) -> bool:
    """Tell whether an event of an opening has a digest."""
    found: bool = await SQL["audits.has_digest"].fetchval(
        connection, opening_id=opening_id, digest=digest
    )
    return found
