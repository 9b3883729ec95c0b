"""What must hold of all openings in Postgres: in the middle of load, and after it.

One snapshot is one moment between commits: whatever is seen in it, a client could have seen.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from shortlist.storage.postgres.queries.hiring import line
from shortlist.storage.postgres.queries.hiring.codec import encode_key
from testkit.hiring import derived, must_hold, tables

if TYPE_CHECKING:
    from collections.abc import Collection

    from shortlist.domain.hiring.placement import OpeningId
    from shortlist.storage.postgres import Connection
    from testkit.hiring.tables import OpeningTables

_POSITIONS = 20


async def check(
    connection: Connection,
    openings: Collection[OpeningId] | None = None,
    *,
    chance: random.Random | None = None,
) -> list[OpeningTables]:
    """Check 1 to 6 of "What must hold", and all that is derived; return what was read.

    Args:
        connection: of the test's own, in no transaction.
        openings: which; None: all there are.
        chance: draws the positions that are compared.
    """
    chance = chance or random.Random(0)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        ids = await tables.openings(connection) if openings is None else openings
        found = await tables.read(connection, ids)
        for one in found:
            await _positions_are_ranks(connection, one, chance)
    for one in found:  # a long audit takes a second: the clients of a load go on meanwhile
        await asyncio.to_thread(must_hold.check, one)
        await asyncio.to_thread(derived.check, one)
    return found


async def _positions_are_ranks(
    connection: Connection, one: OpeningTables, chance: random.Random
) -> None:
    """What the product tells of positions is what counting the line tells."""
    waiting = one.line()
    ranks = range(1, len(waiting) + 1)
    drawn = sorted({*chance.sample(ranks, min(_POSITIONS, len(ranks))), *ranks[:1], *ranks[-1:]})
    asked = [(one.id, encode_key(waiting[rank - 1].key)) for rank in drawn]
    told = await line.positions(connection, asked) if asked else []
    assert told == drawn, f"positions in opening {one.id}: told {told}, are {drawn}"
