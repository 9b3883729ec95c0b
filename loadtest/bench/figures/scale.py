"""Reads that must not notice how many applications there are."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from loadtest.bench import ours
from loadtest.bench.figure import Figure, Samples, Target, ratios
from loadtest.bench.fill import fill, paths_file
from loadtest.bench.http import turn
from loadtest.bench.load import Load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from loadtest.bench.bench import Bench

_SMALL = 10_000
_LARGE = 1_000_000
_CONNECTIONS = 2  # latency, not queueing


@dataclass(frozen=True, slots=True)
class _Door:
    """A front door and the applications behind it."""

    server: ours.Server
    paths: Path


async def run(bench: Bench) -> list[Figure]:
    """Median latency with a million scored applications ÷ with ten thousand, in turns."""
    latencies: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        doors = {
            count: await stack.enter_async_context(_door(bench, count))
            for count in (_SMALL, _LARGE)
        }
        for _ in range(bench.rounds):
            for count, door in doors.items():
                board = Load(door.server.port, "GET", "/leaderboard?limit=50")
                status = Load(door.server.port, "GET", paths_file=str(door.paths))
                latencies.setdefault(f"leaderboard {count}", []).append(
                    await _p50(bench, door, board)
                )
                latencies.setdefault(f"status {count}", []).append(await _p50(bench, door, status))
    return [
        _figure("leaderboard_at_scale", "leaderboard top 50", "leaderboard", latencies),
        _figure("status_at_scale", "a status read", "status", latencies),
    ]


@asynccontextmanager
async def _door(bench: Bench, count: int) -> AsyncIterator[_Door]:
    async with bench.place() as place:
        await fill(place, count)
        paths = await paths_file(bench, place)
        async with ours.ingest(bench, place) as server:
            yield _Door(server, paths)


async def _p50(bench: Bench, door: _Door, load: Load) -> float:
    load = replace(load, connections=_CONNECTIONS, seconds=bench.scale(2.0, 10.0))
    done = await asyncio.to_thread(turn, door.server.child, load, "200")
    return done.report.p50_ms


def _figure(name: str, title: str, what: str, latencies: dict[str, list[float]]) -> Figure:
    small, large = latencies[f"{what} {_SMALL}"], latencies[f"{what} {_LARGE}"]
    medians = f"{Samples.of(small).median:.2f} ms and {Samples.of(large).median:.2f} ms"
    return Figure(
        name, f"{title}: p50 with 1 000 000 scored ÷ with 10 000", "×", ratios(large, small),
        Target("at most", 1.2), note=medians,
    )  # fmt: skip
