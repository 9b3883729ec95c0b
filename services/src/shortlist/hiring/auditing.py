"""What the commands of the audit do: verify openings, and export one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.domain.hiring.audit import BrokenAuditError
from shortlist.domain.hiring.placement import OpeningId
from shortlist.hiring.reading import Views
from shortlist.storage.postgres.database import Database
from shortlist.storage.postgres.queries.hiring.commands import audits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shortlist.hiring.views import Verification
    from shortlist.storage.postgres import Connection
    from shortlist.urls import DatabaseUrl

_TIMEOUT_SECONDS = 30.0
"""For a part of an audit, on a busy server."""


class Audits:
    """The audits of one database's openings."""

    def __init__(self, url: DatabaseUrl) -> None:
        """Open nothing yet."""
        self._database = Database(
            url, name="shortlist-audit", connections=1, timeout_seconds=_TIMEOUT_SECONDS
        )
        self._views = Views(self._database)

    async def openings(self) -> AsyncIterator[int]:
        """Yield the id of each opening, oldest first."""
        after: str | None = None
        while True:
            page = await self._views.jobs(after=after)
            for job in page.items:
                yield job.id
            after = page.next
            if after is None:
                return

    async def verify(self, opening_id: int, head: bytes | None = None) -> Verification:
        """Verify one; ``head``: a digest from before, which must be there still.

        Raises:
            NotFoundError: there is no such opening.
            BrokenAuditError: no event has the digest.
        """
        found = await self._views.verify(opening_id)
        if head is not None and found.intact and not await self._has(opening_id, head):
            raise BrokenAuditError(
                OpeningId(opening_id), found.events, "is the last one, and none has that head"
            )
        return found

    async def export(self, opening_id: int) -> AsyncIterator[str]:
        """Yield each event of an opening as a line of JSON, oldest first."""
        async for part in await self._views.export_events(opening_id):
            for event in part:
                yield event.model_dump_json(by_alias=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._database.close()

    async def _has(self, opening_id: int, digest: bytes) -> bool:
        async def read(connection: Connection) -> bool:
            return await audits.has_digest(connection, opening_id, digest)

        return await self._database.read(read)
