"""What a worker does when its connections break, its claim is taken, or its grant changes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from shortlist.domain.line.application import PipelineName, Verdict, WorkerId
from shortlist.storage import postgres
from shortlist.storage.postgres.pool import ConnectionPool
from shortlist.storage.postgres.queries import claims
from shortlist.storage.redis import heartbeats
from shortlist.worker.claims.per_job import PerJobClaim, PerJobClaimStore
from shortlist.worker.claims.store import ClaimOptions, Identity
from testkit.faults.unguarding import without
from testkit.processes.scripted import Scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from testkit.processes.bench import Bench, RunningWorker

WORKERS_BACKENDS = """
    SELECT {what} FROM pg_stat_activity
    WHERE application_name LIKE 'shortlist-worker%' AND datname = current_database()
"""


async def until(what: str, condition: Callable[[], bool]) -> None:
    try:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"never: {what}")


async def backends(bench: Bench) -> int:
    return int(await bench.db.fetchval(WORKERS_BACKENDS.format(what="count(*)")))


async def until_backends(bench: Bench, most: int) -> None:
    async with asyncio.timeout(10):
        while await backends(bench) > most:
            await asyncio.sleep(0.02)


async def terminate_backends(bench: Bench) -> None:
    await bench.db.fetch(WORKERS_BACKENDS.format(what="pg_terminate_backend(pid)"))


async def scored_after_every_backend_was_terminated(bench: Bench, mode: str) -> None:
    ids = await bench.submit(5)
    go_on = asyncio.Event()
    scorer = Scripted(go_on)
    async with bench.worker(scorer, connection_mode=mode):
        await scorer.until_running(5)
        await terminate_backends(bench)
        await until_locked_again(bench, ids if mode == "perJob" else [])
        go_on.set()
        views = await bench.until_final(ids)
    assert {view.attempts for view in views} == {1}


async def until_locked_again(bench: Bench, ids: Sequence[object]) -> None:
    async with asyncio.timeout(10):
        while len(ids) > await bench.db.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid >= 1 << 31"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ):
            await asyncio.sleep(0.02)


async def test_a_broken_connection_costs_no_score(bench: Bench, mode: str) -> None:
    await scored_after_every_backend_was_terminated(bench, mode)


async def test_without_resuming_a_broken_connection_would_cost_the_score(
    bench: Bench,
) -> None:
    with without("resume"), pytest.raises(TimeoutError):
        await asyncio.wait_for(scored_after_every_backend_was_terminated(bench, "perJob"), 3)


async def test_a_worker_that_stops_at_once_lets_go_of_its_claims_while_it_has_connections(
    bench: Bench, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    ids = await bench.submit(3)
    scorer = Scripted(asyncio.Event())
    with capture_logs() as logs:
        async with bench.worker(scorer, connection_mode=mode) as running:
            await scorer.until_running(3)
            running.stopping.ask()
            running.stopping.ask()
            await asyncio.wait({running.task})
            assert running.worker._runner.deliveries == 0
    said = [entry["event"] for entry in logs if entry["log_level"] in ("warning", "error")]
    assert (said, caplog.messages) == (["stopped_at_once"], [])
    assert all([await postgres.try_lock(bench.db, one) for one in ids])


async def test_a_claim_that_cannot_be_taken_again_is_lost(bench: Bench) -> None:
    [one] = await bench.submit()
    scorer = Scripted(asyncio.Event())
    async with bench.worker(scorer, connection_mode="perJob") as running:
        await scorer.until_running(1)
        await running.worker._pool.close()  # as a bug would
        await terminate_backends(bench)
        await until("the score stops", lambda: scorer.running == 0)
    assert (await bench.view(one)).status != "scored"


async def test_a_claim_taken_by_somebody_else_stops_the_score_and_writes_nothing(
    bench: Bench,
) -> None:
    [one] = await bench.submit()
    scorer = Scripted(asyncio.Event())
    thief = WorkerId(uuid4())
    async with bench.worker(scorer, connection_mode="perJob") as running:
        await scorer.until_running(1)
        await steal(bench, one, thief)
        await until("the score stops", lambda: scorer.running == 0)
        await bench.until_line_is_empty()
        assert running.worker._limits.in_flight.taken == 0
    assert (await bench.view(one)).attempts == 2
    assert await bench.db.fetchval("SELECT count(*) FROM results") == 0


async def steal(bench: Bench, one: object, thief: WorkerId) -> None:
    """Break the holder's connection and claim before it can claim again."""
    await bench.db.execute("BEGIN; LOCK TABLE pg_authid IN ACCESS EXCLUSIVE MODE")
    await terminate_backends(bench)
    async with asyncio.timeout(10):
        while not await postgres.try_lock(bench.db, one):  # type: ignore[arg-type]
            await asyncio.sleep(0.01)
    await bench.db.execute("COMMIT")
    assert await claims.claim_leased(bench.db, [one], thief)  # type: ignore[list-item]


async def grant(bench: Bench, running: RunningWorker, connections: int, epoch: int) -> None:
    worker = str(running.worker._state.worker_id)
    grants = {worker: heartbeats.Grant(epoch, connections)}
    await heartbeats.publish_grants(bench.redis, running.worker._state.pipeline, grants)


async def test_a_smaller_grant_closes_connections_without_interrupting_a_score(
    bench: Bench,
) -> None:
    ids = await bench.submit(10)
    go_on = asyncio.Event()
    scorer = Scripted(go_on)
    async with bench.worker(scorer, connection_mode="perJob", concurrency=4) as running:
        await scorer.until_running(4)
        assert await backends(bench) == 5
        await grant(bench, running, 3, epoch=7)
        await until("the slots shrink", lambda: running.worker._limits.in_flight.limit == 2)
        assert running.worker._state.epoch == 0, "acknowledged before it was true"
        assert scorer.running == 4
        go_on.set()
        await until("the epoch is acknowledged", lambda: running.worker._state.epoch == 7)
        await until_backends(bench, 3)
        views = await bench.until_final(ids)
    assert {view.attempts for view in views} == {1}


async def test_a_larger_grant_is_used_at_once_without_a_restart(bench: Bench) -> None:
    await bench.submit(10)
    scorer = Scripted(asyncio.Event())
    async with bench.worker(
        scorer, connection_mode="perJob", concurrency=8, initial_grant=2
    ) as running:
        await scorer.until_running(1)
        assert await backends(bench) == 2
        await grant(bench, running, 9, epoch=1)
        await scorer.until_running(8)
        assert await backends(bench) == 9
        running.stopping.ask()
        running.stopping.ask()


async def in_flight_stays_within_the_grant(bench: Bench) -> None:
    await bench.submit(10)
    scorer = Scripted(asyncio.Event())
    async with bench.worker(
        scorer, connection_mode="perJob", concurrency=8, initial_grant=4
    ) as running:
        await grant(bench, running, 4, epoch=1)
        await until("the grant is obeyed", lambda: running.worker._state.epoch == 1)
        await scorer.until_running(3)
        await asyncio.sleep(1.2)  # longer than a pull blocks: it had every chance to take more
        assert running.worker._limits.in_flight.taken == 3
        running.stopping.ask()
        running.stopping.ask()


async def test_in_flight_never_exceeds_the_grant_less_the_overhead(bench: Bench) -> None:
    await in_flight_stays_within_the_grant(bench)


async def test_without_the_guard_in_flight_would_exceed_the_grant(
    bench: Bench,
) -> None:
    with without("grant_limit"), pytest.raises(AssertionError):
        await in_flight_stays_within_the_grant(bench)


async def test_a_worker_ordered_to_drain_pulls_no_more_and_resumes_when_undrained(
    bench: Bench,
) -> None:
    async with bench.worker(connection_mode="perJob") as running:
        first = await bench.submit(1)
        await bench.until_final(first)
        name = str(running.worker._state.worker_id)
        pipeline = running.worker._state.pipeline
        await heartbeats.set_draining(bench.redis, pipeline, {name})
        await until("the order arrives", lambda: running.worker._state.ordered_to_drain)
        await bench.until_line_is_empty()
        await asyncio.sleep(1.2)  # the read that was under way has ended
        [later] = await bench.submit(1)
        await asyncio.sleep(1.2)
        assert (await bench.view(later)).status == "pending"
        await heartbeats.set_draining(bench.redis, pipeline, set())
        await bench.until_final([later])


async def test_the_heartbeat_tells_what_a_scaler_wants_to_know(bench: Bench) -> None:
    ids = await bench.submit(3)
    async with bench.worker(connection_mode="perJob", service_seconds=0.05) as running:
        await bench.until_final(ids)
        await until("everything has ended", lambda: running.worker._limits.in_flight.taken == 0)
        await running.worker._membership.send_heartbeat()
        [beat] = await heartbeats.all_beats(bench.redis, running.worker._state.pipeline)
    assert (beat.completed, beat.in_flight, beat.grant, beat.mode) == (3, 0, 11, "perJob")
    assert beat.busy_seconds >= 3 * 0.05
    assert sum(beat.latency_buckets) == 3
    assert beat.open_connections <= beat.grant


async def test_a_worker_that_was_declared_dead_enrols_anew(bench: Bench) -> None:
    async with bench.worker(connection_mode="perWrite") as running:
        await until("it is ready", lambda: running.worker._state.ready_at > 0)
        await bench.db.execute("DELETE FROM workers")
        async with asyncio.timeout(10):
            while not await bench.db.fetchval("SELECT count(*) FROM workers"):
                await asyncio.sleep(0.05)


async def test_verdicts_written_together_with_a_lost_one_are_written_all_the_same(
    bench: Bench,
) -> None:
    ids = await bench.submit(3)
    worker = WorkerId(uuid4())
    pool = ConnectionPool(
        lambda: postgres.connect(
            bench.settings().database_url.get_secret_value(), application_name="w"
        ),
        3,
    )
    store = PerJobClaimStore(pool, Identity(worker, PipelineName("default")))
    async with AsyncExitStack() as stack:
        holds = [
            await stack.enter_async_context(
                store.claim(one, lambda: None, ClaimOptions(alone=False))
            )
            for one in ids
        ]
        lost = holds[0]
        assert isinstance(lost, PerJobClaim)
        lost._lost = True
        writes = [
            (held, Verdict(held.claim.application_id, 1, "scored", 1.0))
            for held in holds
            if isinstance(held, PerJobClaim)
        ]
        await bench.db.execute(
            "INSERT INTO attempts (application_id, attempt, worker_id) VALUES ($1, 2, $2)",
            ids[0],
            uuid4(),
        )
        assert await store._complete_all(writes) == [False, True, True]
    await pool.close()
    assert await bench.db.fetchval("SELECT count(*) FROM results") == 2
