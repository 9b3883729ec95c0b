"""A dry run of a file of people who apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Collection

    from shortlist.storage.postgres import Connection


async def live(connection: Connection, opening_id: int, email_keys: Collection[str]) -> set[str]:
    """Find the addresses, as they are compared, whose applicant has a live application here."""
    rows = await SQL["imports.live"].fetch(
        connection, opening_id=opening_id, email_keys=list(email_keys)
    )
    return {row["email_key"] for row in rows}
