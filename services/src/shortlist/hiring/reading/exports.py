"""An opening's lists as files: who has places, who waits, or the audit. Rows come in parts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, assert_never

from shortlist.hiring.reading.openings import read_row
from shortlist.hiring.reading.rows import audited_of, listed_of
from shortlist.storage.postgres.queries.hiring.reading import audit, placements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from typing import Protocol

    from shortlist.hiring.views import AuditEvent, ListedEntry
    from shortlist.storage.postgres import Connection

    Row = Mapping[str, Any]
    T = TypeVar("T")

    class Look(Protocol):
        """Does some reading; all of it sees one moment."""

        async def __call__(self, work: Callable[[Connection], Awaitable[T]], /) -> T:
            """Return what ``work`` returns."""


What = Literal["roster", "waitlist"]
"""Who has places; who waits."""

_PART: Final = 1_000


async def export_list(look: Look, opening_id: int, what: What) -> AsyncIterator[list[ListedEntry]]:
    """Return the rows of one of an opening's lists, of one moment, in parts.

    They are held in memory, some 1 kB a row.

    Raises:
        NotFoundError: there is no such opening.
    """
    match what:
        case "roster":
            return _entries(await look(lambda c: _roster(c, opening_id)), in_line=False)
        case "waitlist":
            return _entries(await look(lambda c: _waitlist(c, opening_id)), in_line=True)
        case _:
            assert_never(what)


async def export_events(look: Look, opening_id: int) -> AsyncIterator[list[AuditEvent]]:
    """Return an opening's audit, up to its newest event, in parts that are read when asked for.

    Raises:
        NotFoundError: there is no such opening.
    """
    opening = await look(lambda c: read_row(c, opening_id))
    return _events(look, opening_id, opening["sequence"])


async def _roster(connection: Connection, opening_id: int) -> list[Row]:
    opening = await read_row(connection, opening_id)
    return await placements.holders(
        connection, opening_id, since=None, applied=0, limit=opening["held"]
    )


async def _waitlist(connection: Connection, opening_id: int) -> list[Row]:
    opening = await read_row(connection, opening_id)
    return await placements.waiting(connection, opening_id, after=b"", limit=opening["waiting"])


async def _entries(rows: list[Row], *, in_line: bool) -> AsyncIterator[list[ListedEntry]]:
    for start in range(0, len(rows), _PART):
        part = enumerate(rows[start : start + _PART], start=start + 1)
        yield [listed_of(row, position if in_line else None) for position, row in part]


async def _events(look: Look, opening_id: int, upto: int) -> AsyncIterator[list[AuditEvent]]:
    sequence = 0
    while sequence < upto:
        rows = await look(
            partial(audit.after, opening_id=opening_id, after=sequence, upto=upto, limit=_PART)
        )
        if not rows:
            return
        yield [audited_of(row) for row in rows]
        sequence = rows[-1]["sequence"]
