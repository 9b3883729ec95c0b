"""Whether a database may become ours, or is: asked before anything in it is changed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from shortlist.domain.errors import ShortlistError
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection

OLDEST_POSTGRES = 14

_REVISION = re.compile(r"\d{4}")
_VERSIONS = "alembic_version"
_OURS = frozenset({"pipelines", "applications", "attempts", "results", "audit_log", "workers"})
"""Tables of the first revision."""


class UnfitDatabaseError(ShortlistError):
    """A database cannot be used; the message says why. Nothing was changed."""


async def refuse_unfit(connection: Connection, head: str) -> None:
    """Raise `UnfitDatabaseError` unless the schema can be brought to revision ``head`` here."""
    major = connection.get_server_version().major
    if major < OLDEST_POSTGRES:
        raise UnfitDatabaseError(f"it is Postgres {major}; {OLDEST_POSTGRES} or newer is needed")
    found = await SQL["schema.found"].fetchrow(connection)
    assert found is not None
    if found["encoding"] != "UTF8":
        raise UnfitDatabaseError(
            f"database {found['database']} has the encoding {found['encoding']}, and UTF8 is "
            "needed: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    if found["schema"] is None:
        raise UnfitDatabaseError(
            f"role {found['role']} may use no schema of its search_path in {found['database']}"
        )
    revision = await _our_revision(connection, found)
    if not found["may_create"] and revision < head:
        raise UnfitDatabaseError(
            f"role {found['role']} may not create tables: GRANT CREATE, USAGE ON SCHEMA "
            f"{found['schema']} TO {found['role']}, or make it the owner of {found['database']}"
        )


async def _our_revision(connection: Connection, found: Any) -> str:
    """Return the revision of our schema, empty when nothing is there; raise when it is not ours."""
    relations = frozenset[str](found["relations"])
    if relations <= {_VERSIONS} and not await _versions(connection, relations):
        return ""
    versions = await _versions(connection, relations)
    if len(versions) == 1 and _REVISION.fullmatch(versions[0]) and relations >= _OURS:
        return versions[0]
    other = min(relations - _OURS - {_VERSIONS}, default=min(relations))
    raise UnfitDatabaseError(
        f"database {found['database']} holds what is not Shortlist's ({other}, for one); give "
        "Shortlist a database of its own"
    )


async def _versions(connection: Connection, relations: frozenset[str]) -> list[str]:
    if _VERSIONS not in relations:
        return []
    rows = await SQL["schema.versions"].fetch(connection)
    return [row["version_num"] for row in rows]
