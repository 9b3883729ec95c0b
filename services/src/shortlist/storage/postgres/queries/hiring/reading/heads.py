"""Heads: the first of each list at every 1 000th event, so that a first page needs a short fold.

Derived from the audit: the leader writes them (`write_next`), `verify` compares them, and without
them a first page is read from spans.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from shortlist.domain.hiring.placement import OpeningId
from shortlist.storage.postgres.queries.hiring.reading import moments
from shortlist.storage.postgres.queries.hiring.reading.moments import Holding, Moment
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from asyncpg import Record

    from shortlist.storage.postgres import Connection

EVERY: Final = 1_000
"""Events between two heads of an opening."""

LENGTH: Final = 1_100
"""Placements of each list in a head: an event takes away one at most, so `EVERY` leave 100."""

FOLD_MOST: Final = 4 * EVERY
"""Events behind a head that are folded; with more, the lists are read from spans."""

_HOLDS = (b"a", b"p")


class Sums(msgspec.Struct, frozen=True):
    """Running sums from an opening's first event on. Times in seconds.

    ``promoted``: placements that were ever promoted, and from applying to their first promotion.
    ``acknowledged``: acknowledgements, and from the promotion to each.
    """

    applied: int = 0
    missed: int = 0
    promoted: int = 0
    promoted_seconds: float = 0.0
    acknowledged: int = 0
    acknowledged_seconds: float = 0.0

    def plus(self, other: Sums) -> Sums:
        """Return both together."""
        mine, others = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Sums(*(a + b for a, b in zip(mine, others, strict=True)))


@dataclass(slots=True)
class Head:
    """The first in line and the first who hold places, after an event.

    Attributes:
        sequence: the event's.
        line: who waits: key by placement; all with a key up to ``line_end``.
        line_end: None: the whole line.
        holders: who holds a place, by placement; all up to ``holders_end``.
        holders_end: when the last of them got a place, and its APPLIED event; None: all of them.
        sums: up to the event.
    """

    sequence: int = 0
    line: dict[int, bytes] = field(default_factory=dict)
    line_end: bytes | None = None
    holders: dict[int, Holding] = field(default_factory=dict)
    holders_end: tuple[dt.datetime, int] | None = None
    sums: Sums = field(default_factory=Sums)

    def waiting(self) -> list[tuple[bytes, int]]:
        """Return keys and placements in the line's order."""
        return sorted((key, placement_id) for placement_id, key in self.line.items())

    def holding(self) -> list[Holding]:
        """Return who holds places, in the order of getting them."""
        return sorted(self.holders.values())

    def fold(self, changes: Iterable[Record]) -> None:
        """Take over what the next events changed (`moments.changes`)."""
        for change in changes:
            self._wait(change["placement_id"], change["leaves"], change["joins"])
            self._hold(change)

    def _wait(self, placement_id: int, leaves: bytes | None, joins: bytes | None) -> None:
        if leaves is not None:
            self.line.pop(placement_id, None)
        if joins is not None and (self.line_end is None or joins <= self.line_end):
            self.line[placement_id] = joins

    def _hold(self, change: Record) -> None:
        placement_id, status = change["placement_id"], change["to_status"]
        if status not in _HOLDS:
            self.holders.pop(placement_id, None)
            return
        before = self.holders.get(placement_id)
        if change["from_status"] in _HOLDS:
            if before is not None:
                self.holders[placement_id] = Holding(
                    before.since, before.applied, placement_id, status
                )
            return
        since, applied = change["at"], change["applied"]
        if self.holders_end is None or (since, applied) <= self.holders_end:
            self.holders[placement_id] = Holding(since, applied, placement_id, status)


async def newest(connection: Connection, opening_id: int, sequence: int) -> Head:
    """Read the last head that is not behind an event; without one the empty head of the start."""
    row = await SQL["heads.newest"].fetchrow(connection, opening_id=opening_id, sequence=sequence)
    return Head() if row is None else head_of(row)


def head_of(row: Record) -> Head:
    """Return a head as its row has it; ``held`` and ``waiting`` say whether it is whole."""
    line = dict(zip(row["line"], row["line_keys"], strict=True))
    holders = [
        Holding(since, applied, placement_id, status.encode())
        for since, applied, placement_id, status in zip(
            row["since"], row["applied"], row["holders"], row["holds"], strict=True
        )
    ]
    last = holders[-1] if holders else None
    is_cut = last is not None and len(holders) < row["held"]
    return Head(
        sequence=row["sequence"],
        line=line,
        line_end=row["line_keys"][-1] if len(line) < row["waiting"] else None,
        holders={holding.placement_id: holding for holding in holders},
        holders_end=(last.since, last.applied) if last and is_cut else None,
        sums=msgspec.convert(row["sums"], Sums),
    )


async def sums(connection: Connection, opening_id: int, *, after: int, upto: int) -> Sums:
    """Add up what happened behind an event and up to another."""
    row = await SQL["heads.sums"].fetchrow(
        connection, opening_id=opening_id, after=after, upto=upto
    )
    return Sums(*row) if row else Sums()


async def at(connection: Connection, moment: Moment) -> Head | None:
    """Return the head of a moment: the last one written, and the events since; None: too many."""
    head = await newest(connection, moment.opening_id, moment.sequence)
    if moment.sequence - head.sequence > FOLD_MOST:
        return None
    head.fold(
        await moments.changes(
            connection, moment.opening_id, after=head.sequence, upto=moment.sequence
        )
    )
    return head


async def write_next(connection: Connection, opening_id: OpeningId) -> bool:
    """Write the next head of an opening, from the one before and the `EVERY` events since.

    The leader's agent calls it, one transaction each.

    Args:
        connection: in a transaction of any kind; what it reads of the past never changes.
        opening_id: whose.

    Returns:
        Whether one was written: call again.
    """
    before = await newest(connection, opening_id, _NO_END)
    wanted = before.sequence - before.sequence % EVERY + EVERY
    moment = await moments.at_sequence(connection, opening_id, wanted)
    if moment.sequence < wanted:
        return False
    head = await make(connection, moment, before)
    await _write(connection, opening_id, head)
    return True


async def make(connection: Connection, moment: Moment, before: Head) -> Head:
    """Return the head of a moment, `LENGTH` long, from an earlier one. ``before`` is changed."""
    after = before.sequence
    changes = await moments.changes(
        connection, moment.opening_id, after=after, upto=moment.sequence
    )
    before.fold(changes)
    line, holding = before.waiting(), before.holding()
    if before.line_end is not None and len(line) < LENGTH:
        line += await moments.waiting(
            connection, moment, after=before.line_end, limit=LENGTH - len(line)
        )
    if before.holders_end is not None and len(holding) < LENGTH:
        since, applied = before.holders_end
        holding += await moments.holders(
            connection, moment, since=since, applied=applied, limit=LENGTH - len(holding)
        )
    more = await sums(connection, moment.opening_id, after=after, upto=moment.sequence)
    return Head(
        sequence=moment.sequence,
        line={placement_id: key for key, placement_id in line[:LENGTH]},
        holders={holding.placement_id: holding for holding in holding[:LENGTH]},
        sums=before.sums.plus(more),
    )


async def _write(connection: Connection, opening_id: int, head: Head) -> None:
    line, holding = head.waiting(), head.holding()
    document: dict[str, Any] = msgspec.to_builtins(head.sums)
    await SQL["heads.write"].execute(
        connection,
        opening_id=opening_id,
        sequence=head.sequence,
        line=[placement_id for _, placement_id in line],
        line_keys=[key for key, _ in line],
        holders=[one.placement_id for one in holding],
        holds="".join(one.status.decode() for one in holding),
        since=[one.since for one in holding],
        applied=[one.applied for one in holding],
        sums=document,
    )


async def wanted(
    connection: Connection, after: OpeningId, limit: int
) -> tuple[list[OpeningId], OpeningId | None]:
    """Look at the next ``limit`` openings behind an id, ascending.

    Returns:
        Those that lack a head, and where the next slice begins; None: these were the last.
    """
    rows = await SQL["heads.wanted"].fetch(connection, after=after, every=EVERY, limit=limit)
    ids = [OpeningId(row["id"]) for row in rows if row["lacks"]]
    return ids, OpeningId(rows[-1]["id"]) if len(rows) == limit else None


async def between(
    connection: Connection, opening_id: int, *, after: int, upto: int
) -> list[Record]:
    """List an opening's heads behind an event and up to another, oldest first."""
    return await SQL["heads.between"].fetch(
        connection, opening_id=opening_id, after=after, upto=upto
    )


_NO_END: Final = 2**63 - 1
