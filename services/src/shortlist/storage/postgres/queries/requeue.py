"""Another chance for applications that have failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.domain.line.application import ApplicationId
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from shortlist.storage.postgres import Connection


async def requeue(
    connection: Connection, ids: Sequence[ApplicationId], actor: str
) -> set[ApplicationId]:
    """Schedule those that have failed, due now; which they were. One transaction.

    Their failure stays in the audit log, and their errors are counted anew.
    """
    rows = await SQL["retries.requeue"].fetch(connection, ids=ids, actor=actor)
    return {row["application_id"] for row in rows}


async def failed(
    connection: Connection,
    *,
    pipeline: str | None,
    reason_contains: str | None,
    after: UUID,
    limit: int,
) -> list[ApplicationId]:
    """List ids above ``after`` of applications that have failed, in order."""
    rows = await SQL["retries.failed"].fetch(
        connection, pipeline=pipeline, reason_contains=reason_contains, after=after, limit=limit
    )
    return [ApplicationId(row["application_id"]) for row in rows]
