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
    return {row["application_id"] for row in await connection.fetch(SQL["requeue"], ids, actor)}


async def failed(
    connection: Connection,
    *,
    pipeline: str | None,
    reason_contains: str | None,
    after: UUID,
    limit: int,
) -> list[ApplicationId]:
    """Ids above ``after`` of applications that have failed, in order."""
    rows = await connection.fetch(
        """
        SELECT application_id FROM results
        WHERE status = 'failed' AND application_id > $3
          AND ($1::text IS NULL OR pipeline = $1)
          AND ($2::text IS NULL OR strpos(reason, $2) > 0)
        ORDER BY application_id LIMIT $4
        """,
        pipeline,
        reason_contains,
        after,
        limit,
    )
    return [ApplicationId(row["application_id"]) for row in rows]
