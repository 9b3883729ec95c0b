"""The line of an opening: positions at any length of it, and the fences that keep them cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shortlist.domain.hiring.placement import OpeningId
    from shortlist.storage.postgres import Connection

FENCES_EVERY: Final = 256
"""Events between two looks whether an opening's next fences are due."""


async def positions(connection: Connection, keys: Sequence[tuple[int, bytes]]) -> list[int]:
    """Return the positions of some keys, in their order; 1 is the head of a line.

    One statement, so all are of one moment. A key that is in no line has the position that it would
    have.

    Args:
        connection: inside a transaction its own changes count.
        keys: each with its opening, as `codec.encode_key` writes it.
    """
    if not keys:
        return []
    rows = await SQL["line.ahead"].fetch(
        connection, openings=[opening for opening, _ in keys], keys=[key for _, key in keys]
    )
    return [row["ahead"] + 1 for row in rows]


def may_need_fences(before: int, after: int) -> bool:
    """Tell whether the next fences of an opening may be due after an act.

    Args:
        before: the newest event's sequence before the act.
        after: and after it.
    """
    return before // FENCES_EVERY != after // FENCES_EVERY


async def next_fences(connection: Connection, opening_id: OpeningId, sequence: int) -> None:
    """Write the next fences of an opening, unless those that are there are young enough.

    An act calls it in its transaction, after it has written its events and placements, when
    `may_need_fences` says so.

    Args:
        connection: inside the act's transaction, which has the opening locked.
        opening_id: whose line it is.
        sequence: of the newest event.
    """
    await SQL["line.write_fences"].execute(connection, opening_id=opening_id, sequence=sequence)
