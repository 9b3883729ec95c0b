"""Positions, beside a count of the line itself; fences, beside the line that they cut."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.hiring.acts import ChangeRules
from shortlist.domain.hiring.opening import Rules
from shortlist.storage.postgres.queries.hiring import line
from testkit.hiring.living import LivingLine
from testkit.hiring.memory import COMPANY

if TYPE_CHECKING:
    from shortlist.domain.hiring.ordering import Order
    from shortlist.storage.postgres import Connection


@pytest.mark.parametrize("order", ["fifo", "score"])
async def test_positions_are_the_ranks_whatever_happened_to_the_line(
    db: Connection, order: Order
) -> None:
    it = LivingLine(db, 1, order, seed=7)
    for joins in (1.0, 0.3, 0.9, 0.2):
        await it.live(700, joins)
        keys = it.encoded()
        found = await line.positions(db, [(it.memory.id, key) for key in keys])
        assert found == list(range(1, len(keys) + 1))
    assert await db.fetchval("SELECT count(*) FROM line_fences") > 3


async def test_fences_cut_the_line_as_it_is_into_buckets_that_are_not_long(db: Connection) -> None:
    it = LivingLine(db, 1, "score", seed=3)
    for joins in (1.0, 0.6, 0.1):
        await it.live(1100, joins)
        await db.execute("DELETE FROM line_fences WHERE sequence = $1", it.rows.standing.sequence)
        await line.next_fences(db, it.memory.id, it.rows.standing.sequence)
        row = await db.fetchrow("SELECT * FROM line_fences ORDER BY sequence DESC LIMIT 1")
        assert row is not None
        keys = it.encoded()
        assert row["below"] == [sum(key < fence for key in keys) for fence in row["keys"]]
        assert row["waiting"] == len(keys)
        assert all(b - a <= 768 for a, b in pairwise([*row["below"], len(keys)]))


async def test_several_openings_are_told_in_one_answer(db: Connection) -> None:
    lines = [LivingLine(db, number, "fifo", seed=number) for number in (1, 2, 3)]
    for number, it in enumerate(lines):
        await it.live(300 * (number + 1), 0.8)
    asked = [(it.memory.id, key) for it in lines for key in it.encoded()]
    expected = [rank for it in lines for rank in range(1, len(it.encoded()) + 1)]
    shuffled = list(zip(asked, expected, strict=True))
    random.Random(1).shuffle(shuffled)
    assert await line.positions(db, [key for key, _ in shuffled]) == [r for _, r in shuffled]


async def test_without_fences_a_position_is_a_count(db: Connection) -> None:
    it = LivingLine(db, 1, "fifo", seed=5)
    await it.live(600, 0.9)
    await db.execute("DELETE FROM line_fences")
    keys = it.encoded()
    found = await line.positions(db, [(it.memory.id, key) for key in keys])
    assert found == list(range(1, len(keys) + 1))


async def test_a_raise_of_the_capacity_that_promotes_hundreds_is_counted(db: Connection) -> None:
    it = LivingLine(db, 1, "fifo", seed=5)
    await it.live(900, 1.0)
    it.memory.decide(ChangeRules(COMPANY, Rules(capacity=500)))
    await it.rows.write()
    keys = it.encoded()
    found = await line.positions(db, [(it.memory.id, key) for key in keys])
    assert found == list(range(1, len(keys) + 1))


async def test_nothing_is_asked_for_nothing(db: Connection) -> None:
    assert await line.positions(db, []) == []
