"""kill -9 of one of two busy workers: when is all that it held being scored again?

Three workers with ten slots each and twenty jobs: at least two are busy, and whichever is
killed, the others have room for what it held.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from loadtest.bench.contender import Contender, Work, peer, pids
from loadtest.bench.figure import Figure, Samples, Target
from loadtest.bench.ours import ours
from loadtest.bench.peers import PEERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from loadtest.bench.bench import Bench
    from loadtest.bench.child import Child
    from shortlist.domain.line.application import ConnectionMode

    Contending = Callable[[], AbstractAsyncContextManager[Contender]]

_JOBS = 20
_WORKERS = 3
_WORK = Work(concurrency=10, service_seconds=5.0, reliable=True)
_POLL_INTERVAL_SECONDS = 0.1
_TRIES = 3
_QUICK_PEERS = ("pgqueuer", "dramatiq", "procrastinate", "streaq")
"""The fastest four, by the full run."""
_FIGURES: tuple[tuple[str, ConnectionMode, float], ...] = (
    ("recovery_per_job_seconds", "perJob", 2.0),
    ("recovery_per_write_seconds", "perWrite", 5.0),
)
"""Name, mode, and what is promised."""


class NotHeldError(Exception):
    """The jobs were not all held at the same time: the machine was busy with something else."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of the jobs that the killed worker held."""

    held: int
    seconds: float
    """Until the last of them was begun again; how long was waited if some never were."""
    lost: int
    twice: int

    @property
    def flaws(self) -> str:
        """What its time does not tell."""
        lost = f"{self.lost} of {self.held} not begun again" if self.lost else ""
        twice = f"{self.twice} done twice" if self.twice else ""
        return ", ".join(filter(None, (lost, twice)))


async def run(bench: Bench) -> list[Figure]:
    """Ours in both modes; the peers at their reliable settings, several at a time: they wait."""
    mine: dict[ConnectionMode, list[Recovery]] = {"perJob": [], "perWrite": []}
    for number in range(bench.rounds):
        got = await bench.in_turn(
            *(_until_held(partial(ours, bench, mode, _WORK), 60.0) for mode in mine)
        )
        for (mode, recoveries), recovery in zip(mine.items(), got, strict=True):
            recoveries.append(recovery)
            bench.say(f"recovery, round {number + 1}, {mode}: {recovery}")
    theirs = await _of_peers(bench)
    rivals = {title: _seconds(recoveries) for title, recoveries in theirs.items()}
    notes = {title: _all_flaws(recoveries) for title, recoveries in theirs.items()}
    title = "kill -9 of a busy worker, until all that it held is being scored again"
    return [
        Figure(
            name,
            f"{title}, {mode}",
            "s",
            _seconds(mine[mode]),
            Target("at most", bound),
            rivals,
            note=_all_flaws(mine[mode]) or "none lost, none scored twice",
            rival_notes=notes,
        )
        for name, mode, bound in _FIGURES
    ]


async def _of_peers(bench: Bench) -> dict[str, list[Recovery]]:
    """By title; a few at a time, so that the machine does not become what is measured."""
    infos = [PEERS[name] for name in bench.scale(_QUICK_PEERS, tuple(PEERS))]
    patience, at_once = bench.scale((15.0, len(infos)), (120.0, 3))
    recoveries: dict[str, list[Recovery]] = {info.title: [] for info in infos}
    for _ in range(bench.scale(1, bench.rounds)):
        waiting = infos
        while waiting:
            some, waiting = waiting[:at_once], waiting[at_once:]
            got = await asyncio.gather(
                *(_until_held(partial(peer, bench, info, _WORK), patience) for info in some)
            )
            for info, recovery in zip(some, got, strict=True):
                recoveries[info.title].append(recovery)
                bench.say(f"recovery, {info.title}: {recovery}")
    return recoveries


async def _until_held(contending: Contending, patience_seconds: float) -> Recovery:
    """Try again when a busy machine kept the workers from holding all jobs at once."""
    for _ in range(_TRIES - 1):
        with suppress(NotHeldError):
            return await recover(contending(), patience_seconds)
    return await recover(contending(), patience_seconds)


async def recover(
    contending: AbstractAsyncContextManager[Contender], patience_seconds: float
) -> Recovery:
    """Kill the worker that holds most, and watch."""
    async with contending as contender:
        with ExitStack() as stack:
            workers = [stack.enter_context(contender.worker()) for _ in range(_WORKERS)]
            await contender.wait_until_ready(workers)
            await contender.submit(_JOBS)
            victim, held = await _busiest(contender, workers)
            killed_at = time.time()
            victim.kill()
            begun = await _begun_again(contender, held, killed_at, patience_seconds)
            lost = len(held) - len(begun)
            if not lost:
                await asyncio.sleep(_WORK.service_seconds + 1)  # to see what is done twice
            return Recovery(
                held=len(held),
                seconds=patience_seconds if lost else max(begun.values()) - killed_at,
                lost=lost,
                twice=await contender.done_twice(),
            )


async def _busiest(contender: Contender, workers: list[Child]) -> tuple[Child, set[str]]:
    """Once all jobs have begun: who holds most of them, and which."""
    deadline = time.monotonic() + 60
    starts = await contender.starts()
    while len({start.job for start in starts}) < _JOBS:
        if time.monotonic() > deadline:
            raise NotHeldError(contender.title)
        await asyncio.sleep(_POLL_INTERVAL_SECONDS)
        starts = await contender.starts()
    held = [{s.job for s in starts if s.pid in tree} for tree in pids(workers)]
    most = max(range(len(workers)), key=lambda index: len(held[index]))
    if not held[most] or await contender.count_done():
        raise NotHeldError(contender.title)
    return workers[most], held[most]


async def _begun_again(
    contender: Contender, held: set[str], since: float, patience_seconds: float
) -> dict[str, float]:
    """When each of these jobs was begun again, as far as it was while there was patience."""
    while True:
        begun: dict[str, float] = {}
        for start in await contender.starts():
            if start.job in held and start.at > since:
                begun.setdefault(start.job, start.at)
        if len(begun) == len(held) or time.time() > since + patience_seconds:
            return begun
        await asyncio.sleep(_POLL_INTERVAL_SECONDS)


def _seconds(recoveries: Sequence[Recovery]) -> Samples:
    return Samples.of(recovery.seconds for recovery in recoveries)


def _all_flaws(recoveries: Sequence[Recovery]) -> str:
    flaws = {recovery.flaws for recovery in recoveries} - {""}
    return "; ".join(sorted(flaws))
