"""Beside an old snapshot: what an analyst's forgotten transaction does to applies and promotions.

Two databases get the same acts by turns, in parts; in one of them a transaction has been open since
before the first. What has died since then cannot be cleared away there. The last parts are the
worst, and are what counts.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from loadtest.bench.figure import Figure, Samples, Target
from loadtest.bench.hiring import rows
from loadtest.bench.hiring.acting import BY, acting, each
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import ApplicantId, PlacementId

if TYPE_CHECKING:
    from loadtest.bench.bench import Bench
    from loadtest.bench.hiring.rows import Connection, Made
    from shortlist.hiring.acts import Acts

_CAPACITY = 100
"""More than act at once, so that those who withdraw in the order of the line hold a place."""

_WAITING = 1_000
_PARTS = 10
_LAST = 3


class _Opening:
    """One opening, to which applicants apply while those in front withdraw."""

    def __init__(self, acts: Acts, made: Made) -> None:
        self.acts = acts
        self.opening_id = made.opening_id
        self._line: list[PlacementId] = [*made.holders, *made.waiting]
        self._applied = made.applied

    async def rate(self, pairs: int) -> float:
        """Acts per second: so many apply, and so many withdraw, each of whom promotes the next."""
        began = time.perf_counter()
        leaving, self._line = self._line[:pairs], self._line[pairs:]
        coming = range(self._applied + 1, self._applied + pairs + 1)
        self._applied += pairs
        await each(
            one for pair in zip(map(self._apply, coming), map(self._withdraw, leaving), strict=True)
            for one in pair
        )  # fmt: skip
        return 2 * pairs / (time.perf_counter() - began)

    async def _apply(self, applicant: int) -> None:
        result = await self.acts.apply(ApplicantId(applicant), self.opening_id, BY)
        self._line.append(PlacementId(result.application_id))

    async def _withdraw(self, placement: PlacementId) -> None:
        await self.acts.withdraw(placement, BY)


async def run(bench: Bench) -> list[Figure]:
    """Rates beside an open snapshot ÷ without one, part by part."""
    pairs = bench.scale(500, 5_000)
    shares: list[float] = []
    async with AsyncExitStack() as stack:
        without = await _opening(stack, bench, pairs, is_held=False)
        beside = await _opening(stack, bench, pairs, is_held=True)
        for _ in range(_PARTS):
            free, held = await without.rate(pairs), await beside.rate(pairs)
            shares.append(held / free)
            bench.say(f"snapshot: {free:.0f} acts/s without, {held:.0f} beside it")
    course = ", ".join(f"{share:.2f}" for share in shares)
    return [
        Figure(
            "hiring_old_snapshot",
            f"applies and promotions beside an old snapshot ÷ without, after {2 * pairs * _PARTS}",
            "×", Samples.of(shares[-_LAST:]), Target("at least", 0.8),
            note=f"on the way: {course}",
        )
    ]  # fmt: skip


async def _opening(stack: AsyncExitStack, bench: Bench, pairs: int, *, is_held: bool) -> _Opening:
    place = await stack.enter_async_context(bench.place())
    connection = await place.connect()
    stack.push_async_callback(connection.close)
    await rows.add_applicants(connection, _CAPACITY + _WAITING + pairs * _PARTS)
    made = await rows.make(connection, Rules(capacity=_CAPACITY), waiting=_WAITING)
    await connection.execute("VACUUM (ANALYZE)")
    if is_held:
        await _hold_snapshot(connection)
    return _Opening(await stack.enter_async_context(acting(place)), made)


async def _hold_snapshot(connection: Connection) -> None:
    """Begin what is not ended before the connection is."""
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await connection.fetchval("SELECT count(*) FROM openings")
