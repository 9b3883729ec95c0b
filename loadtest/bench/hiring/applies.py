"""The day a job is posted: applying to one opening and to a hundred, beside the usual way.

A thousand wait already. Before that, holders of places withdraw in the order of the line, so each
withdrawal promotes the next: what the usual way renumbers the line for.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from loadtest.bench.figure import Figure, Samples, Target, ratios
from loadtest.bench.hiring import subjects
from loadtest.bench.http import cpus, p99s, rates

if TYPE_CHECKING:
    from loadtest.bench.bench import Bench
    from loadtest.bench.hiring.subjects import Subject
    from loadtest.bench.http import Turn

_WAITING = 1_000
_OPENINGS = (1, 100)
_WITHDRAWALS = 300
_AT_MOST = {"ours": 8_000, "usual": 2_000, "bare": 12_000}
"""Applies per second for which bodies are made."""

_USUAL = "the usual way"
_BARE = "bare FastAPI"


async def run(bench: Bench) -> list[Figure]:
    """Ours ÷ the usual way, and ÷ a bare handler, 64 connections, in turns."""
    figures: list[Figure] = []
    for openings in _OPENINGS:
        figures += await _beside_rivals(bench, openings)
    return figures


async def _beside_rivals(bench: Bench, openings: int) -> list[Figure]:
    applies: dict[str, list[Turn]] = {name: [] for name in _AT_MOST}
    withdrawals: dict[str, list[Turn]] = {"ours": [], "usual": []}
    async with AsyncExitStack() as stack:
        wanted = {"openings": openings, "waiting": _WAITING}
        doors: dict[str, Subject] = {
            "usual": await stack.enter_async_context(subjects.usual(bench, **wanted)),
            "ours": await stack.enter_async_context(subjects.ours(bench, **wanted)),
            "bare": stack.enter_context(subjects.bare(bench, openings=openings)),
        }
        for number in range(bench.rounds):
            for name, turns in withdrawals.items():
                each = _WITHDRAWALS // openings
                turns.append(await doors[name].withdraw(bench, number * each, _WITHDRAWALS))
        for number in range(bench.rounds):
            for name, turns in applies.items():
                seconds = bench.scale(3.0, 10.0)
                turns.append(await doors[name].apply(bench, seconds, _AT_MOST[name]))
            bench.say(
                f"applies to {openings}, round {number + 1}: "
                + ", ".join(f"{turns[-1].report.rate:.0f}/s {n}" for n, turns in applies.items())
            )
    return _figures(openings, applies, withdrawals)


def _figures(
    openings: int, applies: dict[str, list[Turn]], withdrawals: dict[str, list[Turn]]
) -> list[Figure]:
    where = "one opening" if openings == 1 else f"{openings} openings"
    mine, usual, bare = (applies[name] for name in ("ours", "usual", "bare"))
    left, usual_left = withdrawals["ours"], withdrawals["usual"]
    one = Samples.of([1.0])
    return [
        Figure(
            f"hiring_applies_{openings}", f"applies to {where} ÷ the usual way, 64 connections",
            "×",
            ratios(rates(mine), rates(usual)), Target("at least", 8.0), {_USUAL: one},
            note=f"{_WAITING} wait in each at first",
        ),
        Figure(
            f"hiring_applies_{openings}_bare", f"applies to {where} ÷ a bare FastAPI handler's",
            "×",
            ratios(rates(mine), rates(bare)), Target("at least", 0.3), {_BARE: one},
            note=_limit(mine),
        ),
        Figure(
            f"hiring_applies_{openings}_per_second", f"applies to {where}, one ingest process",
            "/s",
            Samples.of(rates(mine)), None,
            {_USUAL: Samples.of(rates(usual)), _BARE: Samples.of(rates(bare))},
            note=f"p99 {Samples.of(p99s(mine)).median:.0f} ms; "
            f"the usual way {Samples.of(p99s(usual)).median:.0f} ms",
        ),
        Figure(
            f"hiring_promotions_{openings}", f"withdrawals from places of {where}, each of which"
            " promotes the next ÷ the usual way", "×",
            ratios(rates(left), rates(usual_left)), None, {_USUAL: one},
            note=f"{Samples.of(rates(left)).median:.0f}/s ÷ "
            f"{Samples.of(rates(usual_left)).median:.0f}/s",
        ),
    ]  # fmt: skip


def _limit(turns: list[Turn]) -> str:
    """Say how busy the ingest process was: near 100 %, Python limits the rate, else Postgres."""
    cpu = Samples.of(cpus(turns)).median
    share = Samples.of(
        turn.server_cpu_seconds / (turn.report.all_requests / turn.report.rate) for turn in turns
    ).median
    return f"ingest's process: {cpu:.0f} µs of CPU for each, {share:.0%} of a core"
