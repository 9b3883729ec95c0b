"""An opening that lives: chance acts on it in memory, and its rows follow in Postgres."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from shortlist.domain.hiring.acts import Acknowledge, ChangeRules, Score, Withdraw
from shortlist.domain.hiring.company_acts import CompanyAct
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import OpeningId
from shortlist.storage.postgres.queries.hiring import codec, line
from testkit.hiring.memory import COMPANY, PERSON, Memory
from testkit.hiring.rows import Rows

if TYPE_CHECKING:
    from shortlist.domain.hiring.acts import Act
    from shortlist.domain.hiring.ordering import Order
    from shortlist.domain.hiring.placement import Placement
    from shortlist.storage.postgres import Connection

_AT_ONCE = 50
"""Acts that are written together."""

_ACTS = {
    "leave": 4, "promote": 4, "score": 3, "move": 2, "acknowledge": 3, "wait": 2, "reinstate": 1,
    "resize": 1,
}  # fmt: skip


class LivingLine:
    """One opening. Fences are asked for as acts ask for them."""

    def __init__(
        self, db: Connection, number: int, order: Order, seed: int, *, capacity: int = 1
    ) -> None:
        """``number``: the opening's id, and the millions of its placements' ids."""
        self.db = db
        rules = Rules(capacity=capacity, order=order, ack_window_seconds=60)
        self.memory = Memory(rules, id=OpeningId(number))
        self.memory.ids = iter(range(number * 1_000_000, (number + 1) * 1_000_000))
        self.rows = Rows(db, self.memory)
        self.chance = random.Random(seed)
        self.applicants = iter(range(1, 1_000_000))

    async def live(self, acts: int, joins: float) -> None:
        """So many acts, of which the share ``joins`` apply."""
        for number in range(acts):
            self.memory.clock += dt.timedelta(milliseconds=self.chance.choice([0, 1, 700]))
            self.memory.decide(*self.one(joins))
            if number % _AT_ONCE == 0 or number == acts - 1:
                await self.write()

    async def write(self) -> None:
        """What was decided since it was last called."""
        before = self.rows.standing.sequence
        await self.rows.write()
        after = self.rows.standing.sequence
        if line.may_need_fences(before, after):
            await line.next_fences(self.db, self.memory.id, after)

    def one(self, joins: float) -> tuple[Act, ...]:
        waiting = self.memory.line()
        if self.chance.random() < joins or len(waiting) < 3:
            return (self.memory.application(next(self.applicants)),)
        chosen = self.chance.choice(waiting)
        kind = self.chance.choices(list(_ACTS), list(_ACTS.values()))[0]
        acts: tuple[Act, ...] = getattr(self, kind)(chosen)
        return acts

    def leave(self, chosen: Placement) -> tuple[Act, ...]:
        return (Withdraw(PERSON, chosen),)

    def promote(self, _: Placement) -> tuple[Act, ...]:
        return tuple(Withdraw(PERSON, placement) for placement in self.memory.held()[:1])

    def score(self, chosen: Placement) -> tuple[Act, ...]:
        return (Score(COMPANY, chosen, "s", self.chance.uniform(0, 100)),)

    def acknowledge(self, _: Placement) -> tuple[Act, ...]:
        return tuple(Acknowledge(PERSON, placement) for placement in self.memory.held())

    def wait(self, _: Placement) -> tuple[Act, ...]:
        self.memory.clock += dt.timedelta(seconds=self.chance.choice([1, 70]))
        return ()

    def resize(self, _: Placement) -> tuple[Act, ...]:
        rules = self.memory.opening.rules
        more = self.chance.choice([-1, 1])
        return (ChangeRules(COMPANY, replace(rules, capacity=rules.capacity + more or 1)),)

    def move(self, chosen: Placement) -> tuple[Act, ...]:
        others = [p.key for p in self.memory.line() if p.id != chosen.id]
        gap = self.chance.randrange(len(others) + 1)
        previous = others[gap - 1] if gap else None
        following = others[gap] if gap < len(others) else None
        move = CompanyAct(
            COMPANY, "1", "move", (chosen,), "d", previous=previous, following=following
        )
        return (move,)

    def reinstate(self, _: Placement) -> tuple[Act, ...]:
        gone = [p for p in self.memory.placements.values() if p.status == "INACTIVE"]
        chosen = tuple(self.chance.sample(gone, 1)) if gone else ()
        return tuple(CompanyAct(COMPANY, "1", "reinstate", (one,), "d") for one in chosen)

    def encoded(self) -> list[bytes]:
        """The line's keys, as Postgres has them."""
        return [codec.encode_key(p.key) for p in self.memory.line()]
