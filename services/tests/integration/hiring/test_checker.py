"""The checker of what must hold reads Postgres's rows as they are, and sees what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import ApplicantId
from shortlist.storage.postgres.queries.hiring import line
from testkit.hiring import postgres
from testkit.hiring.memory import Memory, at
from testkit.hiring.rows import Rows

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection

WRONGS = {
    "DELETE FROM placement_spans WHERE status = 'w'": "spans",
    "UPDATE placement_spans SET to_sequence = to_sequence + 1": "spans",
    "UPDATE placements SET stands_from = stands_from + 1 WHERE status = 'w'": "spans",
    "UPDATE line_fences SET below[2] = below[2] + 1": "positions",
    "UPDATE line_fences SET waiting = waiting + 1": "fences",
    "UPDATE opening_events SET joins = NULL WHERE joins IS NOT NULL": "links",
    "UPDATE opening_events SET leaves = joins, joins = NULL WHERE sequence = 9": "links",
    "UPDATE opening_events SET floors = ARRAY[(SELECT max(key) FROM placements WHERE status = 'w')]"
    " WHERE sequence = (SELECT max(sequence) FROM opening_events)": "positions",
    "UPDATE placements SET misses = 1": "another placement",
    "UPDATE placements SET status = 'i' WHERE status = 'w'": "another placement",
    "UPDATE openings SET capacity = 3": "free places",
}


@pytest.fixture
async def opening(db: Connection) -> Memory:
    """An opening in memory and in Postgres: two places, missed offers, some hundred who wait."""
    memory = Memory(Rules(capacity=2, ack_window_seconds=10, confirm="everyone"))
    rows = Rows(db, memory)
    for number in range(0, 700, 50):
        memory.clock = at(number)
        memory.apply_together([ApplicantId(number + n) for n in range(50)])
    await rows.write()
    await line.next_fences(db, memory.id, rows.standing.sequence)
    memory.clock = at(720)
    memory.apply_together([ApplicantId(number) for number in range(700, 720)])
    await rows.write()
    await db.execute("ALTER TABLE opening_events DISABLE TRIGGER append_only")
    return memory


async def test_what_is_right_is_found_right(db: Connection, opening: Memory) -> None:
    (found,) = await postgres.check(db)
    assert found.placements == opening.placements
    assert found.events == opening.events
    assert found.opening == opening.opening
    assert len(found.line()) > 600
    assert found.fences


@pytest.mark.usefixtures("opening")
@pytest.mark.parametrize("wrong", WRONGS)
async def test_off_switch_what_is_wrong_is_found_wrong(db: Connection, wrong: str) -> None:
    await db.execute(wrong)
    with pytest.raises(AssertionError, match=WRONGS[wrong]):
        await postgres.check(db)
