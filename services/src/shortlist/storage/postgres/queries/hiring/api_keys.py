"""Keys for machines, of which Postgres has the digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.domain.access import ApiKey, KeptKey
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection

    from shortlist.domain.access import Scope
    from shortlist.storage.postgres import Connection


async def create(
    connection: Connection,
    *,
    name: str,
    digest: bytes,
    scopes: Collection[Scope],
    days: float | None,
) -> tuple[int, dt.datetime | None]:
    """Keep a new key, valid for so many ``days``, None: until it is revoked.

    Returns its id, and when it expires.
    """
    row = await SQL["api_keys.create"].fetchrow(
        connection, name=name, digest=digest, scopes=list(scopes), days=days
    )
    assert row is not None
    return row["id"], row["expires_at"]


async def valid(connection: Connection, digests: Collection[bytes]) -> dict[bytes, ApiKey]:
    """Return the keys among some that are neither expired nor revoked, by their digests."""
    rows = await SQL["api_keys.valid"].fetch(connection, digests=list(digests))
    return {row["digest"]: ApiKey(row["id"], frozenset(row["scopes"])) for row in rows}


async def note_use(connection: Connection, ids: Collection[int]) -> None:
    """Write that keys were used, unless that was written within the last minute."""
    await SQL["api_keys.used"].execute(connection, ids=sorted(ids))


async def listed(connection: Connection) -> list[KeptKey]:
    """List all keys, oldest first."""
    rows = await SQL["api_keys.listed"].fetch(connection)
    return [KeptKey(**{**row, "scopes": tuple(row["scopes"])}) for row in rows]


async def revoke(connection: Connection, key_id: int) -> str | None:
    """Revoke a key; returns its name, None when there is none with that id."""
    name: str | None = await SQL["api_keys.revoke"].fetchval(connection, id=key_id)
    return name
