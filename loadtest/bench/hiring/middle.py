"""In the middle of a line: what a position and each act cost at 100 000 waiting, and at 100.

Both lines are in one database and take turns, act by act, in this process. Before each act that
takes one out of the line another applies, and is not timed, so that both stay as long as they are.
They are ordered by score, and no place is given yet (``fillFrom`` is to come): so the company can
promote out of the middle.
"""

from __future__ import annotations

import datetime as dt
import random
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from loadtest.bench.figure import Figure, Samples, Target, ratios
from loadtest.bench.hiring import rows
from loadtest.bench.hiring.acting import BY, acting
from shortlist.domain.hiring.opening import CAPACITY_MAX, Rules
from shortlist.domain.hiring.placement import ApplicantId, PlacementId
from shortlist.hiring.requests import ActionRequest
from shortlist.hiring.settlement import ArrivedScore, settle
from shortlist.storage import postgres
from shortlist.storage.postgres.queries.hiring import line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from loadtest.bench.bench import Bench
    from loadtest.bench.hiring.rows import Made
    from shortlist.hiring.acts import Acts
    from shortlist.storage.postgres import Connection

_LONG, _SHORT = 100_000, 100
_SPARE = 20_000
"""Applicants who have not applied yet."""


@dataclass
class _Line:
    """An opening whose line is kept at its length."""

    acts: Acts
    connection: Connection
    made: Made
    chance: random.Random
    placements: list[PlacementId] = field(init=False)

    def __post_init__(self) -> None:
        self.placements = list(self.made.waiting)
        self._applicant = self.made.applied

    async def join(self) -> None:
        """Let another apply, to the end of the line: the unscored stand there."""
        self._applicant += 1
        opening = self.made.opening_id
        joined = await self.acts.apply(ApplicantId(self._applicant), opening, BY)
        self.placements.append(PlacementId(joined.application_id))

    def take(self) -> PlacementId:
        """Return one from the middle, who will leave the line."""
        return self.placements.pop(len(self.placements) // 2)

    async def position(self) -> None:
        """Read where the one in the middle stands."""
        middle = self.placements[len(self.placements) // 2]
        key = await self.connection.fetchval("SELECT key FROM placements WHERE id = $1", middle)
        await line.positions(self.connection, [(self.made.opening_id, key)])

    async def promotion(self) -> None:
        """Promote the one in the middle, by the company."""
        request = ActionRequest("promote", (self.take(),), None, "She starts on Monday.")
        done = await self.acts.act(self.made.opening_id, request, BY)
        assert done.results[0].outcome == "promoted"

    async def withdrawal(self) -> None:
        """Let the one in the middle withdraw."""
        await self.acts.withdraw(self.take(), BY)

    async def score(self) -> None:
        """Give anyone another score, which puts them anywhere in the line."""
        placement = self.chance.choice(self.placements)
        arrived = ArrivedScore(placement, str(uuid4()), round(100 * self.chance.random(), 2))
        opening = self.made.opening_id
        async with self.connection.transaction():
            settled = await settle(self.connection, [opening], {opening: [arrived]})
        assert not settled.again


_ACTS: dict[str, tuple[str, Callable[[_Line], Awaitable[None]]]] = {
    "position": ("a position", _Line.position),
    "promotion": ("a promotion out of turn", _Line.promotion),
    "withdrawal": ("a withdrawal", _Line.withdrawal),
    "late_score": ("a late score", _Line.score),
}
_TAKE_ONE_OUT = {"promotion", "withdrawal"}


async def run(bench: Bench) -> list[Figure]:
    """Medians of what each takes, the long line's ÷ the short one's."""
    long = bench.scale(20_000, _LONG)
    count = bench.scale(50, 300)
    medians: dict[tuple[str, int], list[float]] = {}
    async with _lines(bench, (long, _SHORT)) as lines:
        for _ in range(bench.rounds):
            for what in _ACTS:
                seconds = await _by_turns(lines, what, count)
                for length, values in seconds.items():
                    medians.setdefault((what, length), []).append(Samples.of(values).median)
    return [
        Figure(
            f"hiring_{what}", f"{title} in the middle of {long} waiting ÷ of {_SHORT}", "×",
            ratios(medians[what, long], medians[what, _SHORT]), Target("at most", 1.5),
            note=" and ".join(
                f"{1e3 * Samples.of(medians[what, length]).median:.2f} ms"
                for length in (long, _SHORT)
            ),
        )
        for what, (title, _) in _ACTS.items()
    ]  # fmt: skip


async def _by_turns(lines: dict[int, _Line], what: str, count: int) -> dict[int, list[float]]:
    _, act = _ACTS[what]
    seconds: dict[int, list[float]] = {length: [] for length in lines}
    for _ in range(count):
        for length, one in lines.items():
            if what in _TAKE_ONE_OUT:
                await one.join()
            began = time.perf_counter()
            await act(one)
            seconds[length].append(time.perf_counter() - began)
    return seconds


@asynccontextmanager
async def _lines(bench: Bench, lengths: tuple[int, ...]) -> AsyncIterator[dict[int, _Line]]:
    async with bench.place() as place:
        plain = await place.connect()
        await rows.add_applicants(plain, max(lengths) + _SPARE)
        fill_from = dt.datetime.now(dt.UTC) + dt.timedelta(days=30)
        rules = Rules(capacity=CAPACITY_MAX, order="score", fill_from=fill_from)
        made = {
            length: await rows.make(plain, rules, waiting=length, scored=True) for length in lengths
        }
        await plain.execute("VACUUM (ANALYZE)")
        await plain.close()
        connection = await postgres.connect(place.database_url, application_name="bench")
        async with acting(place) as acts:
            yield {
                length: _Line(acts, connection, one, random.Random(1))
                for length, one in made.items()
            }
        await connection.close()
