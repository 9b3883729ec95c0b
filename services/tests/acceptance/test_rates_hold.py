"""What may be lost is a little time: rates stay above 80 % while things die or hold on."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import psutil
import pytest
from uuid_utils.compat import uuid7

from shortlist.domain.line.application import (
    DEFAULT_PIPELINE,
    ApplicationId,
    ConnectionMode,
    NewApplication,
)
from shortlist.storage import postgres, redis
from shortlist.storage.postgres.queries import applications
from shortlist.storage.redis.line import Entry, Line
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from shortlist.embedded.servers.postgres import EmbeddedPostgres
    from shortlist.storage.postgres import Connection
    from testkit.clients.ledger import Ledger
    from testkit.processes.place import Place, Running
    from testkit.processes.stack import Service

pytestmark = [pytest.mark.slow, pytest.mark.quiet]

MODES = get_args(ConnectionMode)
LEAST_SHARE = 0.8


async def workers_killed_regularly(
    place: Place, mode: str, *, every_seconds: float, for_seconds: float, **settings: object
) -> None:
    """Completions while one worker after the other is killed, against what the living could do.

    That is the seconds in which workers were ready, times the rate of one that is not killed,
    measured before in the same run.
    """
    workers, concurrency, service_seconds, before_seconds = 3, 4, 0.4, 6.0
    async with place.running(
        "worker", "worker", "worker", "maintenance", connection_mode=mode,
        concurrency=concurrency, service_seconds=service_seconds, **settings,
    ) as run:  # fmt: skip
        per_second = workers * concurrency / service_seconds
        await run.ledger.submit(int(1.2 * per_second * (before_seconds + for_seconds)), at_once=50)
        rate_of_one = await _rate(run.ledger, before_seconds) / workers
        done = await run.ledger.scored()
        alive_seconds = await _kill_in_turn(
            run.others[:workers], every_seconds=every_seconds, for_seconds=for_seconds
        )
        share = (await run.ledger.scored() - done) / (alive_seconds * rate_of_one)
        print(f"{mode}: {share:.0%} of what the living could do")  # noqa: T201 (the figure)
        assert share >= LEAST_SHARE, f"only {share:.0%} of what the living could do"
        await run.ledger.settle()


async def _rate(ledger: Ledger, seconds: float) -> float:
    """Completions per second, over a stretch of time."""
    before, started = await ledger.scored(), time.monotonic()
    await asyncio.sleep(seconds)  # the length of a measurement
    return (await ledger.scored() - before) / (time.monotonic() - started)


async def _kill_in_turn(
    workers: list[Service], *, every_seconds: float, for_seconds: float
) -> float:
    """Worker-seconds in which workers were ready, while one is killed at each turn."""
    started, away_seconds = time.monotonic(), 0.0
    for turn, victim in enumerate(itertools.cycle(workers)):
        if time.monotonic() - started >= for_seconds:
            break
        killed = time.monotonic()
        victim.kill()
        await victim.succeeded(turn // len(workers) + 1)
        await victim.ready()
        away_seconds += time.monotonic() - killed
        await asyncio.sleep(max(0.0, killed + every_seconds - time.monotonic()))  # the period
    return (time.monotonic() - started) * len(workers) - away_seconds


@pytest.mark.timeout(400, func_only=True)
@pytest.mark.parametrize("mode", MODES)
async def test_a_worker_killed_every_10_s_for_two_minutes_costs_little(
    place: Place, mode: str
) -> None:
    await workers_killed_regularly(place, mode, every_seconds=10, for_seconds=120)


@dataclass(frozen=True)
class Rate:
    """Applications per second, by the clock and by what the processors spent on them.

    The second one is the same whatever else this machine does meanwhile.
    """

    by_clock: float
    by_work: float

    def __str__(self) -> str:
        return f"{self.by_clock:.0f}/{self.by_work:.0f}"


async def old_snapshot_held(
    place: Place, server: EmbeddedPostgres, *, count: int, chunk: int, **settings: object
) -> tuple[float, float]:
    """A transaction that is older than everything stays open while chunk after chunk is scored.

    Chunks go in by the statements that ingest uses, a thousand at once, so that what is timed is
    the claiming and completing. Returns the rate at the end by the rate without the snapshot: by
    the clock, and by work.
    """
    async with place.running(
        "worker", "maintenance", connection_mode="perWrite", service_seconds=0, concurrency=200,
        **settings,
    ) as run:  # fmt: skip
        assert server.process is not None
        pids = [server.process.pid, *(service.process.pid for service in run.others)]

        async def rate() -> Rate:
            return await _score_chunk(place, run, chunk, pids)

        await rate()  # caches are warm, plans are made
        before = [await rate() for _ in range(3)]
        async with _snapshot(place):
            after = [await rate() for _ in range(count // chunk)]
        share_by_clock = _median(r.by_clock for r in after[-3:]) / _median(
            r.by_clock for r in before
        )
        share_by_work = _median(r.by_work for r in after[-3:]) / _median(r.by_work for r in before)
        print(  # noqa: T201 (the figures)
            f"per second (by clock/by work), before: {_figures(before)}; with the snapshot:"
            f" {_figures(after)}; the last three: {share_by_clock:.0%}/{share_by_work:.0%}"
        )
        assert share_by_work >= LEAST_SHARE, f"slower: {share_by_work:.0%} of what it was before"
        await run.ledger.settle()
        return share_by_clock, share_by_work


def _median(rates: Iterable[float]) -> float:
    return statistics.median(rates)


def _figures(rates: list[Rate]) -> str:
    return " ".join(str(rate) for rate in rates)


@asynccontextmanager
async def _snapshot(place: Place) -> AsyncIterator[None]:
    """A report, a backup, or a forgotten session: it sees the past until it ends."""
    connection = await postgres.connect(place.database_url, application_name="snapshot")
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.fetchval("SELECT count(*) FROM applications")
        yield
    await connection.close()


async def _score_chunk(place: Place, run: Running, count: int, pids: list[int]) -> Rate:
    """From the first one accepted to the last one scored."""
    chunk = [
        NewApplication(ApplicationId(uuid7()), DEFAULT_PIPELINE, f"c{n}", f"chunk-{n}")
        for n in range(count)
    ]
    connection = await postgres.connect(place.database_url, application_name="chunks")
    client = redis.connect(place.redis_url, timeout_seconds=10)
    line = Line(client, DEFAULT_PIPELINE)
    started, worked = time.monotonic(), _processor_seconds(pids)
    await _feed(line, connection, chunk)

    async def done() -> bool:
        return (await line.depth()).total == 0  # counting results would be work for Postgres, too

    await until(done, within_seconds=120, what=f"{count} applications are scored")
    seconds, work_seconds = time.monotonic() - started, _processor_seconds(pids) - worked
    scored = "SELECT count(*) FROM results WHERE application_id >= $1"
    assert await connection.fetchval(scored, chunk[0].id) == count
    await connection.close()
    await client.aclose()
    run.ledger.accepted.update((a.id, a.payload) for a in chunk)
    return Rate(by_clock=count / seconds, by_work=count / work_seconds)


def _processor_seconds(pids: list[int]) -> float:
    """What processes and their children have used, those that ended and were waited for too."""
    total = 0.0
    for pid in pids:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += sum(one.cpu_times()[:2])
        total += sum(process.cpu_times()[2:4])
    return total


async def _feed(line: Line, connection: Connection, chunk: list[NewApplication]) -> None:
    for start in range(0, len(chunk), 1000):
        group = chunk[start : start + 1000]
        await applications.accept(connection, group)
        await line.publish([Entry(a.id) for a in group])


@pytest.mark.timeout(1200, func_only=True)
async def test_a_snapshot_held_for_200_000_applications_does_not_slow_the_line_down(
    place: Place, postgres_server: EmbeddedPostgres
) -> None:
    share, _ = await old_snapshot_held(place, postgres_server, count=200_000, chunk=10_000)
    assert share >= LEAST_SHARE


async def test_off_switch_rows_that_change_with_each_claim_slow_the_line_down(
    place: Place, postgres_server: EmbeddedPostgres
) -> None:
    with pytest.raises(AssertionError, match=r"^slower: "):
        await old_snapshot_held(
            place, postgres_server, count=12_000, chunk=2_000, unguarded="snapshot_safe"
        )
