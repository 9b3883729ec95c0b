"""What clients follow: whether an opening, or an applicant, has new events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Collection

    from shortlist.domain.hiring.placement import ApplicantId, OpeningId
    from shortlist.storage.postgres import Connection


class Head(NamedTuple):
    """What is newest of one opening or applicant.

    Attributes:
        newest: the newest event's sequence, of an opening; its id, of an applicant. 0: no event.
        version: another number after each new event.
    """

    of: Literal["opening", "applicant"]
    id: int
    newest: int
    version: int


async def heads(
    connection: Connection, openings: Collection[OpeningId], applicants: Collection[ApplicantId]
) -> list[Head]:
    """Read one for each opening and each applicant, whether it is there or not."""
    rows = await SQL["event_feed.heads"].fetch(
        connection, openings=list(openings), applicants=list(applicants)
    )
    return [Head(*row) for row in rows]
