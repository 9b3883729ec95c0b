"""What a long line and a long past cost: applying, replay at a random moment, disk."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from loadtest.bench import ours
from loadtest.bench.figure import Figure, Samples, Target, ratios
from loadtest.bench.hiring import rows
from loadtest.bench.hiring.subjects import Subject
from loadtest.bench.http import rates, turn
from loadtest.bench.load import Load
from shortlist.domain.hiring.deadlines import iso
from shortlist.domain.hiring.opening import Rules
from shortlist.storage import postgres
from shortlist.storage.postgres.queries.hiring.reading import heads
from testkit.hiring.keys import bearer, make_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.bench.bench import Bench, Place
    from loadtest.bench.hiring.rows import Connection, Made

_CAPACITY = 100
_REPLAYS = 500
_AT_MOST_PER_SECOND = 8_000
_DERIVED = ("opening_events", "placement_spans", "line_fences", "opening_heads")
"""What an event leaves on disk; the placement itself is there once, however much happens to it."""


@dataclass
class _Openings:
    """One database, its openings by name, and an ingest in front of it."""

    server: ours.Server
    place: Place
    authorization: str
    made: dict[str, Made]
    bytes_per_event: float
    applicants: dict[str, int] = field(default_factory=dict)

    def subject(self, name: str) -> Subject:
        """Return an opening as what is loaded; each turn takes other applicants."""
        made = self.made[name]
        begin = self.applicants.setdefault(name, made.applied + 1)
        self.applicants[name] = begin + 10 * _AT_MOST_PER_SECOND
        return Subject(
            name, self.server, [made.opening_id], [],
            iter(range(begin, self.applicants[name])), self.authorization,
        )  # fmt: skip


async def run(bench: Bench) -> list[Figure]:
    """Apply and replay with much behind it ÷ with nothing or little, in turns."""
    waiting, events, few = bench.scale((20_000, 100_000, 10_000), (100_000, 1_000_000, 10_000))
    async with AsyncExitStack() as stack:
        full = await stack.enter_async_context(
            _openings(bench, {"line": (waiting, 0), "past": (waiting, events)})
        )
        little = await stack.enter_async_context(_openings(bench, {"little": (few // 10, few)}))
        replays = await _replays(bench, full, little)
        fresh = await stack.enter_async_context(_openings(bench, {}))
        applies = await _applies(bench, full, fresh)
    long = f"{waiting} waiting"
    return [
        Figure(
            "hiring_apply_line", f"an apply with {long} ÷ with an empty line", "×",
            ratios(applies["fresh"], applies["line"]), Target("at most", 1.2),
            note=_rates(applies, "line", "fresh"),
        ),
        Figure(
            "hiring_apply_past", f"an apply with {events} events behind it, {long} ÷ with none",
            "×",
            ratios(applies["fresh"], applies["past"]), Target("at most", 1.2),
            note=_rates(applies, "past", "fresh"),
        ),
        Figure(
            "hiring_replay_ms", f"p95 of a replay at a random moment of {events} events, {long},"
            " with the counts and the first 100 of each list", "ms",
            Samples.of(replays["past"]), Target("at most", 50.0),
        ),
        Figure(
            "hiring_replay_ratio", f"p95 of a replay of {events} events ÷ of {few}", "×",
            ratios(replays["past"], replays["little"]), Target("at most", 2.0),
            note=f"{Samples.of(replays['little']).median:.1f} ms of {few}",
        ),
        Figure(
            "hiring_disk", "disk for each event, with indexes, spans, fences and heads", "bytes",
            Samples.of([full.bytes_per_event]), Target("at most", 500.0),
        ),
    ]  # fmt: skip


def _rates(applies: dict[str, list[float]], *names: str) -> str:
    return " and ".join(f"{Samples.of(applies[name]).median:.0f}/s" for name in names)


@asynccontextmanager
async def _openings(bench: Bench, wanted: dict[str, tuple[int, int]]) -> AsyncIterator[_Openings]:
    """Make openings by name, each with so many waiting and so many events, and their heads."""
    async with bench.place() as place:
        connection = await place.connect()
        most = max((waiting + events for waiting, events in wanted.values()), default=0)
        await rows.add_applicants(connection, most // 2 + 80 * _AT_MOST_PER_SECOND)
        made = {
            name: await rows.make(
                connection, Rules(capacity=_CAPACITY), waiting=waiting, events=events
            )
            for name, (waiting, events) in wanted.items()
        }
        await _make_behind(connection)
        await _write_heads(place, made)
        await connection.execute("VACUUM (ANALYZE, FREEZE)")
        await connection.execute("CHECKPOINT")
        size = await _bytes(connection) / max(1, sum(one.events for one in made.values()))
        authorization = bearer(await make_key(connection))["Authorization"]
        await connection.close()
        async with ours.ingest(bench, place) as server:
            yield _Openings(server, place, authorization, made, size)


async def _write_heads(place: Place, made: dict[str, Made]) -> None:
    connection = await postgres.connect(place.database_url, application_name="bench")
    for one in made.values():
        while await heads.write_next(connection, one.opening_id):
            continue
    await connection.close()


async def _bytes(connection: Connection) -> float:
    sizes = [
        await connection.fetchval("SELECT pg_total_relation_size($1::text::regclass)", table)
        for table in _DERIVED
    ]
    return float(sum(sizes))


async def _replays(bench: Bench, full: _Openings, little: _Openings) -> dict[str, list[float]]:
    """p95 in milliseconds, of one client who waits for each answer."""
    p95s: dict[str, list[float]] = {"past": [], "little": []}
    for number in range(bench.rounds):
        for name, where in (("little", little), ("past", full)):
            made = where.made[name]
            chance = random.Random(number)
            moments = [
                made.began + chance.random() * (made.ended - made.began) for _ in range(_REPLAYS)
            ]
            path = bench.directory / f"replays-{name}-{number}"
            path.write_text("\n".join(
                f"/api/pipeline/{made.opening_id}/replay?limit=100&asOf={quote(iso(moment))}"
                for moment in moments
            ))  # fmt: skip
            load = Load(
                where.server.port, "GET", paths_file=str(path), connections=1, count=_REPLAYS,
                authorization=where.authorization,
            )  # fmt: skip
            done = await asyncio.to_thread(turn, where.server.child, load, "200")
            p95s[name].append(done.report.p95_ms)
        bench.say(
            f"replays, round {number + 1}: p95 {p95s['past'][-1]:.1f} ms, "
            f"of few events {p95s['little'][-1]:.1f} ms"
        )
    return p95s


async def _applies(bench: Bench, full: _Openings, fresh: _Openings) -> dict[str, list[float]]:
    """Measure applies per second from 64 connections; ``fresh``: each time to a new opening.

    A round is a turn for each, and another in the opposite order: what changes steadily meanwhile
    does not favour one.
    """
    applies: dict[str, list[float]] = {"fresh": [], "line": [], "past": []}
    for number in range(bench.rounds):
        turns: dict[str, list[float]] = {name: [] for name in applies}
        for name in (*applies, *reversed(applies)):
            where, opening = (full, name) if name != "fresh" else (fresh, await _new(fresh))
            done = await where.subject(opening).apply(
                bench, bench.scale(2.0, 5.0), _AT_MOST_PER_SECOND
            )
            turns[name] += rates([done])
        for name, both in turns.items():
            applies[name].append(sum(both) / len(both))
        bench.say(f"applies, round {number + 1}: {_rates(applies, *applies)}")
    return applies


async def _new(fresh: _Openings) -> str:
    """Make one more opening, without a line; its name."""
    name = f"fresh {len(fresh.made)}"
    connection = await fresh.place.connect()
    fresh.made[name] = await rows.make(connection, Rules(capacity=_CAPACITY), waiting=0)
    await _make_behind(connection)
    await connection.close()
    return name


async def _make_behind(connection: Connection) -> None:
    """Make an opening with a higher id: the last one of all has the cheapest place in an index."""
    await rows.make(connection, Rules(capacity=_CAPACITY), waiting=_CAPACITY)
