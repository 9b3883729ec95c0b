"""Positions, beside a count of the line itself; fences, beside the line that they cut."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.hiring.acts import ChangeRules, Score, Withdraw
from shortlist.domain.hiring.company_acts import CompanyAct
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import OpeningId
from shortlist.storage.postgres.queries.hiring import codec, line
from testkit.hiring.memory import COMPANY, PERSON, Memory
from testkit.hiring.rows import Rows

if TYPE_CHECKING:
    from shortlist.domain.hiring.acts import Act
    from shortlist.domain.hiring.ordering import Order
    from shortlist.storage.postgres import Connection


class Line:
    """A line that lives: memory decides, `Rows` writes, fences are asked for as acts do."""

    def __init__(self, db: Connection, number: int, order: Order, seed: int) -> None:
        self.db = db
        self.memory = Memory(Rules(capacity=1, order=order), id=OpeningId(number))
        self.memory.ids = iter(range(number * 1_000_000, (number + 1) * 1_000_000))
        self.rows = Rows(db, self.memory)
        self.chance = random.Random(seed)
        self.applicants = iter(range(1, 1_000_000))

    async def live(self, acts: int, joins: float) -> None:
        """So many acts, of which the share ``joins`` apply; each 50 acts are written at once."""
        for number in range(acts):
            self.memory.decide(*self.one(joins))
            if number % 50 == 0 or number == acts - 1:
                before = self.rows.standing.sequence
                await self.rows.write()
                after = self.rows.standing.sequence
                if line.may_need_fences(before, after):
                    await line.next_fences(self.db, self.memory.id, after)

    def one(self, joins: float) -> tuple[Act, ...]:
        if self.chance.random() < joins or len(self.memory.line()) < 3:
            return (self.memory.application(next(self.applicants)),)
        placements = self.memory.line()
        chosen = self.chance.choice(placements)
        kind = self.chance.choices(["leave", "promote", "score", "move"], [4, 4, 2, 1])[0]
        match kind:
            case "leave":
                return (Withdraw(PERSON, chosen),)
            case "promote":
                held = self.memory.held()
                return tuple(Withdraw(PERSON, placement) for placement in held[:1])
            case "score":
                return (Score(COMPANY, chosen, "s", self.chance.uniform(0, 100)),)
            case _:
                others = [p.key for p in placements if p.id != chosen.id]
                gap = self.chance.randrange(len(others) + 1)
                previous = others[gap - 1] if gap else None
                following = others[gap] if gap < len(others) else None
                move = CompanyAct(
                    COMPANY, "1", "move", (chosen,), "d", previous=previous, following=following
                )
                return (move,)

    def encoded(self) -> list[bytes]:
        return [codec.encode_key(p.key) for p in self.memory.line()]


@pytest.mark.parametrize("order", ["fifo", "score"])
async def test_positions_are_the_ranks_whatever_happened_to_the_line(
    db: Connection, order: Order
) -> None:
    it = Line(db, 1, order, seed=7)
    for joins in (1.0, 0.3, 0.9, 0.2):
        await it.live(700, joins)
        keys = it.encoded()
        found = await line.positions(db, [(it.memory.id, key) for key in keys])
        assert found == list(range(1, len(keys) + 1))
    assert await db.fetchval("SELECT count(*) FROM line_fences") > 3


async def test_fences_cut_the_line_as_it_is_into_buckets_that_are_not_long(db: Connection) -> None:
    it = Line(db, 1, "score", seed=3)
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
    lines = [Line(db, number, "fifo", seed=number) for number in (1, 2, 3)]
    for number, it in enumerate(lines):
        await it.live(300 * (number + 1), 0.8)
    asked = [(it.memory.id, key) for it in lines for key in it.encoded()]
    expected = [rank for it in lines for rank in range(1, len(it.encoded()) + 1)]
    shuffled = list(zip(asked, expected, strict=True))
    random.Random(1).shuffle(shuffled)
    assert await line.positions(db, [key for key, _ in shuffled]) == [r for _, r in shuffled]


async def test_without_fences_a_position_is_a_count(db: Connection) -> None:
    it = Line(db, 1, "fifo", seed=5)
    await it.live(600, 0.9)
    await db.execute("DELETE FROM line_fences")
    keys = it.encoded()
    found = await line.positions(db, [(it.memory.id, key) for key in keys])
    assert found == list(range(1, len(keys) + 1))


async def test_a_raise_of_the_capacity_that_promotes_hundreds_is_counted(db: Connection) -> None:
    it = Line(db, 1, "fifo", seed=5)
    await it.live(900, 1.0)
    it.memory.decide(ChangeRules(COMPANY, Rules(capacity=500)))
    await it.rows.write()
    keys = it.encoded()
    found = await line.positions(db, [(it.memory.id, key) for key in keys])
    assert found == list(range(1, len(keys) + 1))


async def test_nothing_is_asked_for_nothing(db: Connection) -> None:
    assert await line.positions(db, []) == []
