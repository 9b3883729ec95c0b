"""Keys for tests: made in Postgres as ``shortlist keys create`` makes them, in every state."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from shortlist.domain.access import SCOPES, SECRET_BYTES, digest_of_key, key_of
from shortlist.storage.postgres.queries.hiring import api_keys

if TYPE_CHECKING:
    from shortlist.domain.access import Scope
    from shortlist.storage.postgres import Connection


async def make_key(
    db: Connection, *scopes: Scope, name: str = "a test's", days: float | None = None
) -> str:
    """A key with these scopes; without any: with all."""
    key = key_of(secrets.token_bytes(SECRET_BYTES))
    await api_keys.create(
        db, name=name, digest=digest_of_key(key), scopes=scopes or SCOPES, days=days
    )
    return key


async def expire(db: Connection, key: str) -> None:
    """Let its time have passed."""
    await db.execute(
        "UPDATE api_keys SET expires_at = clock_timestamp() - interval '1 s' WHERE digest = $1",
        digest_of_key(key),
    )


async def revoke(db: Connection, key: str) -> None:
    """Revoke it."""
    found = await db.fetchval("SELECT id FROM api_keys WHERE digest = $1", digest_of_key(key))
    assert await api_keys.revoke(db, found) is not None


def bearer(key: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {key}"}
