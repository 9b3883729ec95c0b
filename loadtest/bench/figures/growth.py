"""How the cost grows: ten times the rows, the line, the pollers; one to four workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.bench import ours
from loadtest.bench.contender import Work
from loadtest.bench.figure import Figure, Samples, ratios
from loadtest.bench.figures.accepts import post
from loadtest.bench.figures.noop import SLOTS, drain
from loadtest.bench.figures.reads import read
from loadtest.bench.fill import fill, paths_file
from loadtest.bench.http import rates

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loadtest.bench.bench import Bench

    Measure = Callable[[int], Awaitable[float]]


async def run(bench: Bench) -> list[Figure]:
    """Each rate at the larger size ÷ at the smaller one, in turns."""
    rows = bench.scale(10_000, 100_000)
    line = bench.scale(2_000, 10_000)
    return [
        await _grow(
            bench, "growth_rows_accepts", "accepts/s with 10× the rows in the tables",
            (rows, 10 * rows), lambda count: _accepts(bench, count),
        ),
        await _grow(
            bench, "growth_rows_reads", "status reads/s with 10× the rows in the tables",
            (rows, 10 * rows), lambda count: _reads(bench, count, 64),
        ),
        await _grow(
            bench, "growth_line", "no-op applications/s with 10× the line",
            (line, 10 * line), lambda count: _drain(bench, count, 1),
        ),
        await _grow(
            bench, "growth_pollers", "status reads/s with 10× the pollers",
            (64, 640), lambda pollers: _reads(bench, 10_000, pollers),
        ),
        await _grow(
            bench, "growth_workers", "no-op applications/s of 4 workers ÷ of 1",
            (1, 4), lambda workers: _drain(bench, 10 * line, workers),
        ),
    ]  # fmt: skip


async def _grow(
    bench: Bench, name: str, title: str, sizes: tuple[int, int], measure: Measure
) -> Figure:
    small: list[float] = []
    large: list[float] = []
    for _ in range(bench.rounds):
        small.append(await measure(sizes[0]))
        large.append(await measure(sizes[1]))
    bench.say(f"{name}: {small} at {sizes[0]}, {large} at {sizes[1]}")
    medians = [
        f"{Samples.of(rates).median:.0f}/s at {size}"
        for rates, size in zip((small, large), sizes, strict=True)
    ]
    return Figure(name, title, "×", ratios(large, small), note=", ".join(medians))


async def _accepts(bench: Bench, rows: int) -> float:
    async with bench.place() as place:
        await fill(place, rows)
        async with ours.ingest(bench, place) as door:
            return rates([await post(bench, door)])[0]


async def _reads(bench: Bench, rows: int, pollers: int) -> float:
    async with bench.place() as place:
        await fill(place, rows)
        paths = await paths_file(bench, place)
        async with ours.ingest(bench, place) as door:
            return rates([await read(bench, door, paths, connections=pollers)])[0]


async def _drain(bench: Bench, line: int, workers: int) -> float:
    return await drain(ours.ours(bench, "perWrite", Work(SLOTS, 0.0)), line, workers)
