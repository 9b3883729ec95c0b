"""Which schema this code needs, and which one Postgres has; Alembic need not be imported for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shortlist.storage.faults import has_state
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection

_UNDEFINED_TABLE = "42P01"

NEEDED = "0007"
"""The newest revision in ``migrations/versions``; a test compares."""


_REVISION = re.compile(r"\d{4}")
"""Another project's would compare, and mean nothing."""


async def revision(connection: Connection) -> str:
    """Return the revision that Postgres is at; empty when nothing was ever migrated."""
    try:
        return await SQL["schema.versions"].fetchval(connection) or ""
    except Exception as error:
        if not has_state(error, _UNDEFINED_TABLE):
            raise
        return ""


def suffices(found: str) -> bool:
    """Tell if this code can work with a schema: in a rollout it may be newer than the code."""
    return _REVISION.fullmatch(found) is not None and found >= NEEDED
