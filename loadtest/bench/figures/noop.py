"""Applications per second when scoring takes no time: what the machinery itself costs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from loadtest.bench.contender import Contender, Work, peer
from loadtest.bench.figure import Figure, Samples, Target, rate_between
from loadtest.bench.ours import ours
from loadtest.bench.peers import PEERS, PeerInfo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from loadtest.bench.bench import Bench

    Contending = AbstractAsyncContextManager[Contender]
    Measure = Callable[[Contending, int], Awaitable[float]]

SLOTS = 100
_WARM_UP = 100
_THREADED_SLOTS = {"celery": 16, "dramatiq": 16}
"""More threads make these slower."""


async def run(bench: Bench) -> list[Figure]:
    """Measure submitting and doing at once: by HTTP for us, by the library's call for the peers."""
    return await _beside_peers(
        bench, "noop", "no-op applications from accept to written row, one worker", through
    )


async def run_drain(bench: Bench) -> list[Figure]:
    """Done from a line that was filled before."""
    return await _beside_peers(
        bench,
        "noop_drain",
        "no-op applications from a full line to written rows, one worker",
        drain,
    )


async def _beside_peers(bench: Bench, name: str, title: str, measure: Measure) -> list[Figure]:
    our_count, their_count = bench.scale((5_000, 1_000), (50_000, 5_000))
    mine: dict[str, list[float]] = {"perJob": [], "perWrite": []}
    infos = [info for info in PEERS.values() if info.runs_many_at_once]
    theirs: dict[str, list[float]] = {info.title: [] for info in infos}
    for number in range(bench.rounds):
        mine["perJob"].append(await measure(ours(bench, "perJob", Work(SLOTS, 0)), our_count))
        mine["perWrite"].append(await measure(ours(bench, "perWrite", Work(SLOTS, 0)), our_count))
        bench.say(f"{name}, ours: " + ", ".join(f"{m} {v[-1]:.0f}/s" for m, v in mine.items()))
        if number and bench.quick:
            continue  # the peers have one turn
        for info in infos:
            theirs[info.title].append(await measure(peer(bench, info, _work(info)), their_count))
            bench.say(f"{name}, {info.title}: {theirs[info.title][-1]:.0f}/s")
    rivals = {title: Samples.of(values) for title, values in theirs.items()}
    return [
        Figure(named, f"{title}, {mode}", "/s", Samples.of(mine[mode]), Target("first"), rivals)
        for named, mode in ((name, "perWrite"), (f"{name}_per_job", "perJob"))
    ]


def _work(info: PeerInfo) -> Work:
    return Work(_THREADED_SLOTS.get(info.module, SLOTS), 0.0)


async def through(contending: Contending, count: int) -> float:
    """``count`` ÷ the time from the first submission to the last written row."""
    async with contending as contender:
        with contender.worker() as worker:
            await contender.submit(_WARM_UP)
            await contender.wait_until_done(_WARM_UP, [worker])
            began = await contender.submit(count)
            await contender.wait_until_done(_WARM_UP + count, [worker])
        return count / (max(await contender.done_at()) - began)


async def drain(contending: Contending, count: int, workers: int = 1) -> float:
    """Rows written per second from a line that holds ``count``, less the first tenth."""
    async with contending as contender:
        await contender.submit(count)
        with ExitStack() as stack:
            children = [stack.enter_context(contender.worker()) for _ in range(workers)]
            await contender.wait_until_done(count, children)
        return rate_between(await contender.done_at(), skip=count // 10)
