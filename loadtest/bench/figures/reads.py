"""Status reads: always the truth, beside a bare FastAPI GET that looks nothing up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from loadtest.bench import ours
from loadtest.bench.figure import Figure, Samples, Target, ratios
from loadtest.bench.figures.accepts import bare
from loadtest.bench.fill import fill, paths_file
from loadtest.bench.http import Turn, cpus, p99s, rates, turn
from loadtest.bench.load import Load

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.bench.bench import Bench

_RIVAL = "bare FastAPI GET"
_APPLICATIONS = 10_000


async def run(bench: Bench) -> list[Figure]:
    """``GET`` and ``HEAD`` ÷ a bare ``GET``, 64 connections, in turns."""
    turns: dict[str, list[Turn]] = {"bare": [], "GET": [], "HEAD": []}
    async with bench.place() as place:
        await fill(place, _APPLICATIONS)
        paths = await paths_file(bench, place)
        async with ours.ingest(bench, place) as door:
            with bare(bench) as rival:
                for number in range(bench.rounds):
                    turns["bare"].append(await read(bench, rival, paths))
                    turns["GET"].append(await read(bench, door, paths))
                    turns["HEAD"].append(await read(bench, door, paths, "HEAD"))
                    latest = ", ".join(f"{n} {t[-1].report.rate:.0f}/s" for n, t in turns.items())
                    bench.say(f"status reads, round {number + 1}: {latest}")
    return _figures(turns)


async def read(
    bench: Bench, server: ours.Server, paths: Path, method: str = "GET", connections: int = 64
) -> Turn:
    """One turn of reading statuses."""
    load = Load(
        port=server.port, method=method, paths_file=str(paths), connections=connections,
        seconds=bench.scale(2.0, 10.0),
    )  # fmt: skip
    return await asyncio.to_thread(turn, server.child, load, "200")


def _figures(turns: dict[str, list[Turn]]) -> list[Figure]:
    bare_rates = rates(turns["bare"])
    one = {_RIVAL: Samples.of([1.0])}
    return [
        Figure(
            "status_get_ratio", "status reads ÷ bare FastAPI GETs, 64 connections", "×",
            ratios(rates(turns["GET"]), bare_rates), Target("at least", 1.0), one,
        ),
        Figure(
            "status_head_ratio", "HEAD status reads ÷ bare FastAPI GETs", "×",
            ratios(rates(turns["HEAD"]), bare_rates), Target("at least", 1.0),
            one | {"our GET": ratios(rates(turns["GET"]), bare_rates)},
            note="higher still than GET",
        ),
        Figure(
            "status_get_per_second", "status reads of one ingest process", "/s",
            Samples.of(rates(turns["GET"])), None,
            {_RIVAL: Samples.of(bare_rates), "our HEAD": Samples.of(rates(turns["HEAD"]))},
        ),
        Figure(
            "status_get_p99_ms", "p99 of a status read, 64 connections", "ms",
            Samples.of(p99s(turns["GET"])), None, {_RIVAL: Samples.of(p99s(turns["bare"]))},
        ),
        Figure(
            "status_get_cpu_us", "server CPU of a status read (the ingest process)", "µs",
            Samples.of(cpus(turns["GET"])), None, {_RIVAL: Samples.of(cpus(turns["bare"]))},
        ),
    ]  # fmt: skip
