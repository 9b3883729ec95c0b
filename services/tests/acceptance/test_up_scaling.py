"""The scaling policy drives `shortlist up`: real processes, and no score is interrupted."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.embedded.servers.postgres import EmbeddedPostgres
from shortlist.storage import postgres, redis
from shortlist.storage.postgres.queries import connection_limits
from shortlist.storage.redis import heartbeats
from testkit.clients.ledger import Ledger
from testkit.processes import reaper
from testkit.processes.stack import without_guards
from testkit.processes.up import Up, running
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

SETTLED_SECONDS = 120.0
CONCURRENCY = 4
BURST = 4 * CONCURRENCY
"""Twice what the workers at the start can hold."""

SCORE_SECONDS = 10
"""Longer than the policy keeps a worker after a burst, so that one that is let go still scores."""


def write_pipeline(directory: Path, *, service_seconds: float, **scaling: Any) -> str:
    """A file for ``-f`` whose policy forgets quickly; its name."""
    patient = {"downWindowSeconds": 1, "idleSeconds": 2, "maxReplicas": 4}
    spec = {
        "workerRef": {"name": "worker"},
        "worker": {"concurrency": CONCURRENCY, "drainTimeoutSeconds": 60},
        "scorer": {"kind": "simulated", "serviceSeconds": service_seconds},
        "scaling": patient | scaling,
        "fallback": {"failureThreshold": 3, "replicas": 3},
    }
    document = {
        "apiVersion": "shortlist.dev/v1alpha1",
        "kind": "ScoringPipeline",
        "metadata": {"name": DEFAULT_PIPELINE},
        "spec": spec,
    }
    (directory / "pipeline.yaml").write_text(yaml.safe_dump(document))
    return "pipeline.yaml"


def workers(up: Up) -> set[int]:
    """The worker processes that live, by their ids."""
    return {p.pid for name, p in up.children().items() if name.startswith("worker")}


async def until_workers(up: Up, count: int) -> None:
    """Wait until so many live."""

    async def look() -> bool:
        return len(workers(up)) == count

    await until(look, within_seconds=SETTLED_SECONDS, what=f"{count} workers: {up.output}")


@asynccontextmanager
async def watched_workers(up: Up) -> AsyncIterator[list[set[int]]]:
    """Who lived at each moment of a block."""
    seen: list[set[int]] = []

    async def watch() -> None:
        while True:
            seen.append(workers(up))
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def a_burst_interrupts_nothing(
    directory: Path, database_url: str, redis_url: str, *, unguarded: str
) -> None:
    """More than two workers can hold, then silence: they are let go while they still score."""
    file = write_pipeline(directory, service_seconds=SCORE_SECONDS, minReplicas=1)
    with running(
        directory,
        "-f",
        file,
        DATABASE_URL=database_url,
        REDIS_URL=redis_url,
        prefix=(),
        **without_guards(unguarded),
    ) as up:
        async with Ledger(await up.ready(), database_url) as ledger:
            async with watched_workers(up) as seen:
                await ledger.submit(BURST, at_once=BURST)
                await up.said("draining ", SETTLED_SECONDS)
                await until_workers(up, 1)
                await ledger.settle(within_seconds=SETTLED_SECONDS)
            assert max(len(pids) for pids in seen) > 2, "no worker was started"
            claims = await ledger.value("SELECT count(*) FROM attempts")
    assert claims == len(ledger.accepted), f"interrupted: {claims - len(ledger.accepted)} scores"


async def test_a_burst_is_scaled_out_for_and_back_in_without_interrupting_a_score(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    """A worker would drop what it holds at SIGTERM: so it got none before it was empty."""
    await a_burst_interrupts_nothing(tmp_path, database_url, redis_url, unguarded="graceful_drain")


async def test_off_switch_workers_that_are_not_emptied_first_interrupt_their_scores(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    with pytest.raises(AssertionError, match=r"^interrupted: "):
        await a_burst_interrupts_nothing(
            tmp_path, database_url, redis_url, unguarded="graceful_drain,drain_first"
        )


async def test_an_idle_line_goes_to_zero_workers_and_an_application_wakes_it(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    file = write_pipeline(tmp_path, service_seconds=0.2, minReplicas=0)
    with running(tmp_path, "-f", file, DATABASE_URL=database_url, REDIS_URL=redis_url) as up:
        async with Ledger(await up.ready(), database_url) as ledger:
            for _ in range(2):
                await until_workers(up, 0)
                assert (await ledger.post()).status == 202
                await ledger.settle(within_seconds=SETTLED_SECONDS)
            await until_workers(up, 0)


@pytest.mark.slow
async def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    file = write_pipeline(tmp_path, service_seconds=2, minReplicas=1, mode="DryRun")
    with running(tmp_path, "-f", file, DATABASE_URL=database_url, REDIS_URL=redis_url) as up:
        async with Ledger(await up.ready(), database_url) as ledger:
            await up.said("workers 2/2")
            before = workers(up)
            async with watched_workers(up) as seen:
                await ledger.submit(60)
                await ledger.settle(within_seconds=SETTLED_SECONDS)
                await up.said("dry run, 1 wanted", SETTLED_SECONDS)
            wanted = {int(found) for found in re.findall(r"dry run, (\d+) wanted", up.output)}
    assert max(wanted) > 2, "it never wanted more, so this shows nothing"
    assert set(map(frozenset, seen)) == {frozenset(before)}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["Paused", "--workers"])
async def test_a_paused_policy_leaves_the_workers_as_they_are(
    tmp_path: Path, database_url: str, redis_url: str, how: str
) -> None:
    mode = "Paused" if how == "Paused" else "Auto"
    file = write_pipeline(tmp_path, service_seconds=1, mode=mode)
    fixed = () if how == "Paused" else ("--workers", "2")
    with running(
        tmp_path, "-f", file, *fixed, DATABASE_URL=database_url, REDIS_URL=redis_url
    ) as up:
        async with Ledger(await up.ready(), database_url) as ledger:
            await up.said("workers 2/2")
            before = workers(up)
            async with watched_workers(up) as seen:
                await ledger.submit(40)
                await ledger.settle(within_seconds=SETTLED_SECONDS)
            assert "default: paused" in up.output
    assert set(map(frozenset, seen)) == {frozenset(before)}


@pytest.mark.slow
async def test_kill_9_of_a_worker_in_its_drain_costs_nothing_but_another_attempt(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    file = write_pipeline(tmp_path, service_seconds=SCORE_SECONDS, minReplicas=1)
    client = redis.connect(redis_url)

    async def busy_victim() -> int | None:
        told = await heartbeats.draining(client, DEFAULT_PIPELINE)
        beats = await heartbeats.all_beats(client, DEFAULT_PIPELINE)
        return next((b.pid for b in beats if b.worker_id in told and b.in_flight), None)

    with running(tmp_path, "-f", file, DATABASE_URL=database_url, REDIS_URL=redis_url) as up:
        async with Ledger(await up.ready(), database_url) as ledger:
            await ledger.submit(BURST, at_once=BURST)
            victim = await until(
                busy_victim, within_seconds=SETTLED_SECONDS, what="a worker drains while it scores"
            )
            assert victim is not None
            os.kill(victim, signal.SIGKILL)
            await ledger.settle(within_seconds=SETTLED_SECONDS)
            assert await ledger.value("SELECT max(attempt) FROM attempts") == 2
            await until_workers(up, 1)
    await client.aclose()


@pytest.mark.slow
async def test_while_redis_does_not_answer_nobody_is_let_go_and_the_fallback_is_started(
    tmp_path: Path,
) -> None:
    file = write_pipeline(tmp_path, service_seconds=1, downWindowSeconds=60, idleSeconds=60)
    with running(tmp_path, "-f", file) as up:
        await up.ready()
        await up.said("workers 2/2")
        before, valkey = workers(up), up.child("valkey-server")
        valkey.suspend()
        await up.said("the line cannot be read (3 in a row): at least 3", SETTLED_SECONDS)
        await until_workers(up, 3)
        valkey.resume()
        await up.said("workers 3/3", SETTLED_SECONDS)
        assert before < workers(up)


async def connections_stay_within_the_budget(directory: Path, *, unguarded: str = "") -> None:
    """A burst for which the policy would like more workers than there are connections for."""
    budget = 60 - 3 - 40  # max_connections, for superusers, reserved for everybody else
    file = write_pipeline(directory, service_seconds=1, minReplicas=1, maxReplicas=5)
    server = EmbeddedPostgres(directory / "pg", settings={"fsync": "off", "max_connections": "60"})
    await asyncio.to_thread(server.start)
    reaper.entrust(server.process)
    try:
        with running(
            directory, "-f", file, prefix=(), DATABASE_URL=server.url, **without_guards(unguarded)
        ) as up:
            seen = await _connections_in_a_burst(up, server.url)
    finally:
        await asyncio.to_thread(server.stop, signal.SIGQUIT)
    assert max(seen) <= budget, f"over the budget of {budget}: {max(seen)} connections"
    assert max(seen) > budget - 5, f"never used, so this shows nothing: {max(seen)} of {budget}"


async def _connections_in_a_burst(up: Up, database_url: str) -> list[int]:
    """All workers' connections, counted while they are started, killed and drained."""
    seen: list[int] = []
    async with Ledger(await up.ready(), database_url) as ledger:
        connection = await postgres.connect(database_url, application_name="test")

        async def watch() -> None:
            while True:
                seen.append(sum((await connection_limits.open_by_worker(connection)).values()))
                await asyncio.sleep(0.02)

        watching = asyncio.create_task(watch())
        for _ in range(2):
            await ledger.submit(80, at_once=40)
            up.child("worker").kill()
            await ledger.until_scored(len(ledger.accepted), within_seconds=SETTLED_SECONDS)
        await until_workers(up, 1)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await postgres.close_quickly(connection)
    return seen


async def test_whatever_the_policy_wants_connections_stay_within_the_budget(
    tmp_path: Path,
) -> None:
    await connections_stay_within_the_budget(tmp_path)


async def test_off_switch_without_a_budget_workers_take_more_than_there_is(
    tmp_path: Path,
) -> None:
    with pytest.raises(AssertionError, match=r"^over the budget "):
        await connections_stay_within_the_budget(tmp_path, unguarded="connection_budget")
