"""Deadlines are met to the second, whatever happens to the processes of maintenance."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import OpeningId
from shortlist.storage import postgres
from testkit.faults.clocks import HOUR
from testkit.hiring.memory import Memory
from testkit.hiring.rows import Rows
from testkit.processes.faketime import Clock
from testkit.waiting import until

from .test_one_leads import leader_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shortlist.storage.postgres import Connection
    from testkit.processes.place import Place
    from testkit.processes.stack import Service, Stack

LATE = """
SELECT DISTINCT ON (e.placement_id) extract(epoch FROM e.at - o.deadline)::float8 AS late
FROM opening_events e
JOIN unnest($1::bigint[], $2::timestamptz[]) AS o (placement_id, deadline) USING (placement_id)
WHERE e.type = 'd' ORDER BY e.placement_id, e.sequence
"""
PROMOTED = """
SELECT count(*) FROM opening_events WHERE type = 'p' AND opening_id = ANY($1) AND at > $2
"""


@dataclass
class Offers:
    """Offers with a deadline each, of openings with an applicant who waits for each place."""

    db: Connection
    memories: list[Memory]

    @classmethod
    async def make(
        cls,
        db: Connection,
        windows: Sequence[int],
        *,
        each: int = 1,
        began: dt.datetime,
        first: int = 1,
    ) -> Offers:
        """An opening for each window, which began at one time and runs for so many seconds."""
        memories = []
        for number, window in enumerate(windows, start=first):
            rules = Rules(capacity=each, ack_window_seconds=window, confirm="everyone")
            ids = count(number * 1_000_000)
            memory = Memory(rules, clock=began, id=OpeningId(number), ids=ids)
            memory.decide(*(memory.application(applicant) for applicant in range(1, 2 * each + 1)))
            await Rows(db, memory).write()
            memories.append(memory)
        return cls(db, memories)

    @property
    def deadlines(self) -> dict[int, dt.datetime]:
        return {p.id: p.deadline for m in self.memories for p in m.held() if p.deadline}

    async def lateness(self) -> list[float]:
        """By how many seconds each of those offers was taken back late, by Postgres's clock."""
        deadlines = self.deadlines
        rows = await self.db.fetch(LATE, list(deadlines), list(deadlines.values()))
        return [row["late"] for row in rows]

    async def settled(self, within_seconds: float) -> float:
        """Wait until each was taken back, and the next in line has it; how late the latest was."""
        ids, began = [m.id for m in self.memories], self.memories[0].events[-1].at

        async def done() -> bool:
            late = await self.lateness()
            promoted = await self.db.fetchval(PROMOTED, ids, began)
            return len(late) == len(self.deadlines) and bool(promoted >= len(late))

        await until(done, within_seconds=within_seconds, what="all offers are taken back")
        late = await self.lateness()
        assert min(late) > 0
        return max(late)


async def connected(place: Place) -> Connection:
    return await postgres.connect(place.database_url, application_name="test", timeout_seconds=10)


async def now_of(db: Connection) -> dt.datetime:
    now: dt.datetime = await db.fetchval("SELECT clock_timestamp()")
    return now


async def two_replicas(stack: Stack, **more: str) -> Service:
    """Start them; the one that leads."""
    replicas = [await stack.start("maintenance", **more) for _ in range(2)]  # type: ignore[arg-type]
    leader = await until(lambda: leader_of(replicas), within_seconds=30, what="one leads")
    assert leader is not None
    return leader


async def a_leader_that_is_gone_delays_deadlines_by_5_s(
    place: Place, *, frozen: bool, unguarded: str = ""
) -> None:
    """It dies, or is stopped past its lease and goes on; a deadline comes each half second."""
    db = await connected(place)
    try:
        async with place.stack(unguarded=unguarded) as stack:
            leader = await two_replicas(stack)
            windows = [3 + number // 2 for number in range(12)]
            offers = await Offers.make(db, windows, began=await now_of(db))
            if frozen:
                leader.freeze()
            else:
                leader.remove()
            assert await offers.settled(within_seconds=20) <= 5.0
            leader.thaw()
            later = await Offers.make(db, [2] * 12, began=await now_of(db), first=100)
            assert await later.settled(within_seconds=20) <= 5.0
    finally:
        await db.close()


@pytest.mark.quiet
@pytest.mark.slow
@pytest.mark.parametrize("frozen", [False, True])
async def test_a_leader_that_is_gone_delays_deadlines_by_5_s(place: Place, *, frozen: bool) -> None:
    await a_leader_that_is_gone_delays_deadlines_by_5_s(place, frozen=frozen)


@pytest.mark.quiet
@pytest.mark.parametrize("frozen", [False, True])
async def test_off_switch_without_a_lease_that_runs_out_deadlines_wait(
    place: Place, *, frozen: bool
) -> None:
    with pytest.raises(AssertionError):
        await a_leader_that_is_gone_delays_deadlines_by_5_s(
            place, frozen=frozen, unguarded="leads_for_a_minute"
        )


async def a_leader_whose_clock_is_an_hour_off_is_in_time(
    place: Place, directory: Path, ahead_seconds: int, unguarded: str = ""
) -> None:
    clock = Clock.right(directory / "maintenance.time")
    clock.set(ahead_seconds)
    db = await connected(place)
    try:
        async with place.stack(unguarded=unguarded) as stack:
            service = await stack.start("maintenance", variables=clock.variables)
            await until(lambda: leader_of([service]), within_seconds=30, what="it leads")
            offers = await Offers.make(db, [2, 3], began=await now_of(db))
            assert await offers.settled(within_seconds=15) <= 2.0
    finally:
        await db.close()


@pytest.mark.slow
@pytest.mark.parametrize("ahead_seconds", [HOUR, -HOUR])
async def test_a_leader_whose_clock_is_an_hour_off_is_in_time(
    place: Place, tmp_path: Path, ahead_seconds: int
) -> None:
    await a_leader_whose_clock_is_an_hour_off_is_in_time(place, tmp_path, ahead_seconds)


async def test_off_switch_a_leader_that_asks_its_own_clock_is_an_hour_late(
    place: Place, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError):
        await a_leader_whose_clock_is_an_hour_off_is_in_time(
            place, tmp_path, -HOUR, unguarded="deadlines_of_postgres"
        )


@pytest.mark.quiet
@pytest.mark.slow
@pytest.mark.parametrize(("openings", "each"), [(1, 1000), (1000, 1)])
async def test_1000_deadlines_at_once_are_settled_within_2_s(
    place: Place, openings: int, each: int
) -> None:
    db = await connected(place)
    try:
        async with place.stack() as stack:
            await two_replicas(stack)
            began = await now_of(db)
            offers = await Offers.make(db, [45] * openings, each=each, began=began)
            assert await now_of(db) < began + dt.timedelta(seconds=45), "made too slowly"
            assert await offers.settled(within_seconds=90) <= 2.0
    finally:
        await db.close()
