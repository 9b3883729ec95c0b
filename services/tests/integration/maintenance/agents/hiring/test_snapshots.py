from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import OpeningId
from shortlist.maintenance.agents.hiring import snapshots
from shortlist.maintenance.agents.hiring.snapshots import Snapshots
from testkit.hiring.memory import Memory
from testkit.hiring.rows import Rows

if TYPE_CHECKING:
    import pytest

    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.postgres import Connection

HEADS = "SELECT opening_id, sequence FROM opening_heads ORDER BY 1, 2"


async def heads(db: Connection) -> list[tuple[int, int]]:
    return [(row["opening_id"], row["sequence"]) for row in await db.fetch(HEADS)]


async def busy(db: Connection, number: int, events: int) -> None:
    """An opening with so many events."""
    memory = Memory(Rules(capacity=5), id=OpeningId(number), ids=count(number * 1_000_000))
    memory.decide(*(memory.application(applicant) for applicant in range(1, events)))
    await Rows(db, memory).write()


async def test_each_thousand_events_of_each_opening_have_a_head(
    db: Connection, desk: LeaderContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_SLICE", 2)
    for number, events in ((1, 2100), (2, 999), (3, 1000), (4, 10)):
        await busy(db, number, events)
    agent = Snapshots(desk)
    while await agent.turn() != snapshots.PERIOD_SECONDS:
        pass
    written = [(1, 1000), (1, 2000), (3, 1000)]
    assert await heads(db) == written
    await agent.turn()
    assert await heads(db) == written


async def test_an_opening_whose_lock_another_keeps_waits_for_the_next_pass(
    db: Connection, desk: LeaderContext, other: Connection
) -> None:
    for number in (1, 2):
        await busy(db, number, 1000)
    agent = Snapshots(desk)
    async with other.transaction():
        await other.execute("SELECT FROM openings WHERE id = 1 FOR NO KEY UPDATE")
        await agent.turn()
        assert await heads(db) == [(2, 1000)]
    await agent.turn()
    assert await heads(db) == [(1, 1000), (2, 1000)]
