"""How much of a worker's slots is spent scoring: completions ÷ (slots ÷ service time)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from loadtest.bench.contender import Contender, Work, peer
from loadtest.bench.figure import Figure, Samples, Target, rate_between
from loadtest.bench.ours import ours
from loadtest.bench.peers import PEERS

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from loadtest.bench.bench import Bench

_SLOTS = 10
_LONG_SECONDS = 1.5
_SHORT_SECONDS = 0.15
_AHEAD_OVERHEAD = 3  # perJob: two connections more, so that two are claimed ahead (decision 0014)
_QUICK_PEERS = ("celery", "dramatiq", "pgqueuer")
"""The best three at 0.15 s, by earlier runs."""
_EDGE_ROUNDS = 2  # left out at the beginning; one at the end, when the line runs dry


async def run(bench: Bench) -> list[Figure]:
    """One worker with 10 slots and 1.5 s, both modes; four workers beside one."""
    rounds = bench.scale(5, 80)  # 80 × 1.5 s = 2 minutes
    work = Work(_SLOTS, _LONG_SECONDS)
    job: list[float] = []
    write: list[float] = []
    four: list[float] = []
    for number in range(bench.rounds):
        got = await bench.in_turn(
            efficiency(ours(bench, "perJob", work), rounds),
            efficiency(ours(bench, "perWrite", work), rounds),
            efficiency(ours(bench, "perJob", work), rounds, workers=4),
        )
        for values, value in zip((job, write, four), got, strict=True):
            values.append(value)
        bench.say(
            f"efficiency, round {number + 1}: perJob {job[-1]:.3f}, perWrite {write[-1]:.3f}, "
            f"four workers {four[-1]:.3f}"
        )
    return [
        Figure(
            "efficiency_per_job", "10 slots, 1.5 s, perJob: completions ÷ (10 ÷ 1.5 s)", "",
            Samples.of(job), Target("at least", 0.99),
        ),
        Figure(
            "efficiency_per_write", "10 slots, 1.5 s, perWrite: completions ÷ (10 ÷ 1.5 s)", "",
            Samples.of(write), Target("at least", 0.99),
        ),
        Figure(
            "four_workers", "four workers ÷ one worker, 10 slots each, 1.5 s", "×",
            Samples.of(4 * many / one for many, one in zip(four, job, strict=True)),
            Target("at least", 3.95),
        ),
    ]  # fmt: skip


async def run_short(bench: Bench) -> list[Figure]:
    """10 slots, 0.15 s and one row written, beside every peer; a quick run: the best of them."""
    rounds = bench.scale(20, 100)
    work = Work(_SLOTS, _SHORT_SECONDS)
    mine: dict[str, list[float]] = {"perJob": [], "perWrite": []}
    peers = [PEERS[name] for name in bench.scale(_QUICK_PEERS, tuple(PEERS))]
    theirs: dict[str, list[float]] = {info.title: [] for info in peers}
    for number in range(bench.rounds):
        per_job = ours(bench, "perJob", work, overhead=_AHEAD_OVERHEAD)
        mine["perJob"].append(await efficiency(per_job, rounds))
        mine["perWrite"].append(await efficiency(ours(bench, "perWrite", work), rounds))
        if number and bench.quick:
            continue  # the peers have one turn
        for info in peers:
            theirs[info.title].append(await efficiency(peer(bench, info, work), rounds))
            bench.say(f"efficiency at 0.15 s: {info.title} {theirs[info.title][-1]:.3f}")
    rivals = {title: Samples.of(values) for title, values in theirs.items()}
    return [
        Figure(
            f"efficiency_short_{name}", f"10 slots, 0.15 s, {title}, one row written", "",
            Samples.of(mine[mode]), Target("at least", 0.98), rivals,
        )
        for name, mode, title in (
            ("per_job", "perJob", f"perJob with k = {_AHEAD_OVERHEAD}"),
            ("per_write", "perWrite", "perWrite"),
        )
    ]  # fmt: skip


async def efficiency(
    contending: AbstractAsyncContextManager[Contender], rounds: int, workers: int = 1
) -> float:
    """Completions per second ÷ what the slots could do if nothing took any time."""
    async with contending as contender:
        work = contender.work
        slots = work.concurrency * workers
        await contender.submit(slots * (rounds + _EDGE_ROUNDS + 1))
        with ExitStack() as stack:
            children = [stack.enter_context(contender.worker()) for _ in range(workers)]
            await contender.wait_until_done(slots * (rounds + _EDGE_ROUNDS + 1), children)
        rate = rate_between(await contender.done_at(), skip=_EDGE_ROUNDS * slots, leave=slots)
        return rate * work.service_seconds / slots
