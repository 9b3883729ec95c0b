"""The front door: durable accepts beside a bare FastAPI handler that stores nothing."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from loadtest.bench import ours
from loadtest.bench.child import free_port, python, wait_for_port
from loadtest.bench.figure import Figure, Samples, Target, ratios
from loadtest.bench.http import Turn, cpus, p99s, rates, turn
from loadtest.bench.load import Load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.bench.bench import Bench

_RIVAL = "bare FastAPI"


async def run(bench: Bench) -> list[Figure]:
    """Rate, p99 and server CPU, ours ÷ bare, 64 connections, in turns."""
    mine: list[Turn] = []
    theirs: list[Turn] = []
    async with bench.place() as place, ours.ingest(bench, place) as door:
        with bare(bench) as rival:
            for number in range(bench.rounds):
                theirs.append(await post(bench, rival))
                mine.append(await post(bench, door))
                bench.say(
                    f"accepts, round {number + 1}: {theirs[-1].report.rate:.0f}/s bare, "
                    f"{mine[-1].report.rate:.0f}/s ours"
                )
    return _figures(mine, theirs)


async def post(bench: Bench, server: ours.Server, connections: int = 64) -> Turn:
    """One turn of posting applications."""
    seconds = bench.scale(3.0, 10.0)
    load = Load(port=server.port, body=ours.BODY, seconds=seconds, connections=connections)
    return await asyncio.to_thread(turn, server.child, load, "202")


@contextmanager
def bare(bench: Bench) -> Iterator[ours.Server]:
    """Run the rival, listening."""
    port = free_port()
    with bench.child("bare", python("-m", "loadtest.bench.bare", str(port))) as child:
        wait_for_port(child, port)
        yield ours.Server(child, port)


def _figures(mine: list[Turn], theirs: list[Turn]) -> list[Figure]:
    one = {_RIVAL: Samples.of([1.0])}
    return [
        Figure(
            "accepts_ratio", "durable accepts ÷ bare FastAPI answers, 64 connections", "×",
            ratios(rates(mine), rates(theirs)), Target("at least", 2.0), one,
        ),
        Figure(
            "accepts_per_second", "durable accepts of one ingest process", "/s",
            Samples.of(rates(mine)), None, {_RIVAL: Samples.of(rates(theirs))},
        ),
        Figure(
            "accepts_p99_ratio", "p99 of an accept ÷ the bare handler's", "×",
            ratios(p99s(mine), p99s(theirs)), Target("at most", 0.5), one,
        ),
        Figure(
            "accepts_p99_ms", "p99 of an accept, 64 connections", "ms",
            Samples.of(p99s(mine)), None, {_RIVAL: Samples.of(p99s(theirs))},
        ),
        Figure(
            "accepts_cpu_ratio", "server CPU of an accept ÷ the bare handler's", "×",
            ratios(cpus(mine), cpus(theirs)), Target("at most", 0.6), one,
        ),
        Figure(
            "accepts_cpu_us", "server CPU of an accept (the ingest process)", "µs",
            Samples.of(cpus(mine)), None, {_RIVAL: Samples.of(cpus(theirs))},
        ),
    ]  # fmt: skip
