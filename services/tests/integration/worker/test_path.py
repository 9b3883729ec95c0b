"""One application's path through a real worker, in both connection modes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.line.scoring import (
    PermanentScoringError,
    TemporaryScoringError,
    ThrottledError,
)
from shortlist.storage.redis.line import Entry
from shortlist.worker.scorers.simulated import score_of_payload
from testkit.processes.scripted import Scripted

if TYPE_CHECKING:
    from testkit.processes.bench import Bench


async def test_what_is_on_the_line_is_scored_and_the_line_is_empty_after_it(
    bench: Bench, mode: str
) -> None:
    ids = await bench.submit(50, payload="résumé")
    async with bench.worker(connection_mode=mode):
        views = await bench.until_final(ids)
        await bench.until_line_is_empty()
    assert {view.score for view in views} == {score_of_payload("résumé")}
    assert await bench.db.fetchval("SELECT count(*) FROM audit_log WHERE event = 'scored'") == 50


async def test_a_temporary_error_is_scheduled_to_be_tried_again(bench: Bench, mode: str) -> None:
    [one] = await bench.submit()
    async with bench.worker(Scripted(TemporaryScoringError("cut off")), connection_mode=mode):
        await bench.until([one], lambda view: view.attempts == 1 and view.status == "pending")
        await bench.until_line_is_empty()
    assert await bench.db.fetchval("SELECT count(*) FROM retries WHERE application_id = $1", one)
    detail = await bench.db.fetchval("SELECT detail FROM attempts WHERE application_id = $1", one)
    assert detail == "cut off"


async def test_after_the_last_attempt_it_failed_with_the_reason(bench: Bench, mode: str) -> None:
    [one] = await bench.submit()
    scorer = Scripted(TemporaryScoringError("cut off"))
    async with bench.worker(scorer, connection_mode=mode, max_attempts=1):
        [view] = await bench.until_final([one])
    assert (view.status, view.reason) == ("failed", "cut off")


async def test_a_permanent_error_fails_at_once(bench: Bench, mode: str) -> None:
    [one] = await bench.submit()
    scorer = Scripted(PermanentScoringError("bad key"))
    async with bench.worker(scorer, connection_mode=mode):
        [view] = await bench.until_final([one])
    assert (view.status, view.reason, view.attempts) == ("failed", "bad key", 1)


async def test_being_throttled_costs_no_attempt_and_pauses_the_pipeline(
    bench: Bench, mode: str
) -> None:
    [one] = await bench.submit()
    scorer = Scripted(ThrottledError("429", retry_after_seconds=30.0))
    async with bench.worker(scorer, connection_mode=mode, max_attempts=1):
        await bench.until([one], lambda view: view.attempts == 1 and view.status == "pending")
        [other] = await bench.submit()
        await asyncio.sleep(1.5)  # longer than a pull blocks: it had every chance
        assert scorer.calls == 1
        assert (await bench.view(other)).status == "pending"
    due = await bench.db.fetchval("SELECT due_at - now() > interval '20 s' FROM retries")
    assert due


async def test_a_score_that_takes_too_long_is_a_temporary_error(bench: Bench, mode: str) -> None:
    [one] = await bench.submit()
    scorer = Scripted(asyncio.Event())
    async with bench.worker(
        scorer, connection_mode=mode, score_timeout_seconds=0.2, max_attempts=1
    ):
        [view] = await bench.until_final([one])
    assert (view.status, view.reason) == ("failed", "no score after 0.2 s")


async def test_a_second_delivery_of_the_same_application_is_scored_once(
    bench: Bench, mode: str
) -> None:
    ids = await bench.submit(5)
    for _ in range(3):
        await bench.line.republish([Entry(i) for i in ids], by="test", first=True)
    async with bench.worker(connection_mode=mode):
        await bench.until_final(ids)
        await bench.until_line_is_empty()
    assert await bench.db.fetchval("SELECT count(*) FROM attempts") == 5


async def test_two_workers_never_score_the_same_application(bench: Bench, mode: str) -> None:
    ids = await bench.submit(60)
    async with bench.worker(connection_mode=mode), bench.worker(connection_mode=mode):
        await bench.until_final(ids)
    assert await bench.db.fetchval("SELECT count(*) FROM attempts") == 60


async def test_on_sigterm_it_finishes_what_it_holds(bench: Bench, mode: str) -> None:
    ids = await bench.submit(3)
    go_on = asyncio.Event()
    scorer = Scripted(go_on)
    async with bench.worker(scorer, connection_mode=mode) as running:
        await scorer.until_running(3)
        running.stopping.ask()
        await asyncio.sleep(0.2)
        late = await bench.submit(1)
        go_on.set()
        assert await asyncio.wait_for(running.task, 10)
    assert {view.status for view in await bench.until_final(ids)} == {"scored"}
    assert (await bench.view(late[0])).attempts == 0


async def test_after_the_grace_period_it_gives_the_rest_back_at_once(
    bench: Bench, mode: str
) -> None:
    ids = await bench.submit(3)
    scorer = Scripted(asyncio.Event())
    async with bench.worker(scorer, connection_mode=mode, drain_timeout_seconds=0.3) as running:
        await scorer.until_running(3)
        running.stopping.ask()
        assert await asyncio.wait_for(running.task, 10)
    depth = await bench.line.depth()
    assert (depth.waiting, depth.delivered) == (3, 0)
    async with bench.worker(connection_mode=mode):
        views = await bench.until_final(ids)
    assert {view.attempts for view in views} == {2}


async def test_a_second_signal_stops_at_once(bench: Bench, mode: str) -> None:
    await bench.submit(3)
    scorer = Scripted(asyncio.Event())
    async with bench.worker(scorer, connection_mode=mode, drain_timeout_seconds=600) as running:
        await scorer.until_running(3)
        running.stopping.ask()
        running.stopping.ask()
        assert not await asyncio.wait_for(running.task, 10)


async def test_a_stopped_worker_leaves_nothing_behind(bench: Bench, mode: str) -> None:
    ids = await bench.submit(3)
    async with bench.worker(connection_mode=mode) as running:
        await bench.until_final(ids)
        running.stopping.ask()
        await asyncio.wait_for(running.task, 10)
    assert await bench.db.fetchval("SELECT count(*) FROM workers") == 0
    assert await bench.redis.hgetall("sl:{default}:beats") == {}
    open_connections = await bench.db.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name LIKE 'shortlist-worker%' AND datname = current_database()"
    )
    assert open_connections == 0


@pytest.mark.parametrize(("mode", "overhead"), [("perJob", 3), ("perWrite", 1)])
async def test_some_are_claimed_ahead_and_no_more_are_scored_at_once_than_there_are_slots(
    bench: Bench, mode: str, overhead: int
) -> None:
    ids = await bench.submit(30)
    go_on = asyncio.Event()
    scorer = Scripted(go_on)
    async with bench.worker(
        scorer, connection_mode=mode, concurrency=10, connection_overhead=overhead
    ) as running:
        async with asyncio.timeout(10):
            while await bench.db.fetchval("SELECT count(*) FROM attempts") < 12:
                await asyncio.sleep(0.02)
        await scorer.until_running(10)
        assert (scorer.calls, running.worker._limits.in_flight.taken) == (10, 12)
        depth = await bench.line.depth()
        assert (depth.waiting, depth.delivered) == (18, 12)  # other workers may take the rest
        go_on.set()
        views = await bench.until_final(ids)
    assert {view.attempts for view in views} == {1}


@pytest.mark.parametrize(("mode", "overhead"), [("perJob", 3), ("perWrite", 1)])
async def test_what_was_claimed_ahead_is_given_back_when_the_grace_is_over(
    bench: Bench, mode: str, overhead: int
) -> None:
    ids = await bench.submit(12)
    scorer = Scripted(asyncio.Event())
    async with bench.worker(
        scorer, connection_mode=mode, connection_overhead=overhead, drain_timeout_seconds=0.3
    ) as running:
        async with asyncio.timeout(10):
            while await bench.db.fetchval("SELECT count(*) FROM attempts") < 12:
                await asyncio.sleep(0.02)
        running.stopping.ask()
        assert await asyncio.wait_for(running.task, 10)
    assert scorer.calls == 10
    depth = await bench.line.depth()
    assert (depth.waiting, depth.delivered) == (12, 0)
    async with bench.worker(connection_mode=mode):
        views = await bench.until_final(ids)
    assert {view.attempts for view in views} == {2}
