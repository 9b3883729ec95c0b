"""What becomes of verdicts and claims that Postgres refuses, in both modes (faults.md 1)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.line.scoring import Score, TemporaryScoringError
from shortlist.storage import postgres, trouble
from shortlist.storage.postgres import text
from shortlist.worker.attempts import Attempts
from shortlist.worker.claims import per_job, per_write, store
from testkit.faults.steps import postgres_steps
from testkit.processes.scripted import Scripted
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.domain.line.application import ApplicationView
    from shortlist.storage.postgres import Connection
    from testkit.processes.bench import Bench
    from testkit.proxies.postgres import PostgresProxy

pytestmark = pytest.mark.usefixtures("logs_as_a_process")

OUTAGES = ("25006", "40001", "40P01", "53100", "55P03", "57014", "42501")
LATEST = postgres_steps()["claims.latest_attempt"]

OPEN_ATTEMPTS = """
    SELECT count(*) FROM attempts t WHERE outcome IS NULL
    AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = t.application_id)
"""


async def disk_is_full_for_a_while(bench: Bench, proxy: PostgresProxy, mode: str) -> None:
    ids = await bench.submit(30)
    async with bench.worker(connection_mode=mode, concurrency=5) as running:
        with proxy.refusing("claims.complete", "53100") as refusal:

            async def is_told() -> bool:
                health = await running.worker._readiness()
                return not health.ok and "completing" in health.detail["troubles"]

            await until(is_told, within_seconds=20, what="readiness says so")
            assert refusal.said >= 2
            claimed = await bench.db.fetchval("SELECT count(*) FROM attempts")
            assert claimed <= 10, "it walked through the line"
        views = await bench.until_final(ids)
        assert {(view.status, view.attempts) for view in views} == {("scored", 1)}
        assert (await running.worker._readiness()).ok


async def test_a_full_disk_strands_nothing_and_wastes_no_verdict(
    refused_bench: Bench, proxy: PostgresProxy, mode: str
) -> None:
    await disk_is_full_for_a_while(refused_bench, proxy, mode)


@pytest.mark.slow
async def test_off_switch_verdicts_that_are_not_tried_again_are_wasted(
    refused_bench: Bench, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def once(operation: Callable[[], Awaitable[object]], _: str) -> object:
        return await operation()

    monkeypatch.setattr(store, "persistently", once)
    with pytest.raises((AssertionError, KeyError, TimeoutError)):
        await disk_is_full_for_a_while(refused_bench, proxy, "perWrite")


async def one_bad_among_ten(bench: Bench, mode: str, bad: Score) -> list[ApplicationView]:
    go_on = asyncio.Event()
    good = Score(50.0)
    ids = await bench.submit(10)

    class Together(Scripted):
        async def score(self, payload: str) -> Score:
            score = await super().score(payload)
            await go_on.wait()  # so that the verdicts are written together
            return score

    scorer = Together(*[good] * 4, bad, good)
    async with bench.worker(scorer, connection_mode=mode, concurrency=10):
        async with asyncio.timeout(10):
            while scorer.calls < 10:
                await asyncio.sleep(0.01)
        go_on.set()
        return await bench.until_final(ids)


async def a_refused_verdict_takes_no_neighbour_along(bench: Bench, mode: str) -> None:
    views = await one_bad_among_ten(bench, mode, Score(150.0))
    assert {view.attempts for view in views} == {1}
    [failed] = [view for view in views if view.status != "scored"]
    assert failed.reason is not None
    assert "CheckViolationError" in failed.reason


async def test_a_verdict_that_is_refused_fails_alone_with_its_true_reason(
    bench: Bench, mode: str
) -> None:
    await a_refused_verdict_takes_no_neighbour_along(bench, mode)


async def test_off_switch_a_batch_that_is_not_tried_apart_fails_together(
    bench: Bench, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (per_job, per_write):
        monkeypatch.setattr(module, "may_be_of_one", lambda _: False)
    with pytest.raises((AssertionError, ValueError)):
        await a_refused_verdict_takes_no_neighbour_along(bench, mode)


NUL = Score(50.0, {"rationale": "fine\x00but", "\ud800": [float("nan"), {"x": "\udfff"}]})


async def nul_is_written(bench: Bench, mode: str) -> None:
    views = await one_bad_among_ten(bench, mode, NUL)
    assert {(view.status, view.attempts) for view in views} == {("scored", 1)}
    kept = await bench.db.fetchval("SELECT detail FROM results WHERE detail IS NOT NULL")
    assert kept == {"rationale": "fine\ufffdbut", "\ufffd": ["nan", {"x": "\ufffd"}]}


async def test_nul_and_lone_surrogates_of_a_model_are_cleaned(bench: Bench, mode: str) -> None:
    await nul_is_written(bench, mode)


async def test_off_switch_without_cleaning_nul_fails_its_application(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "clean", lambda value: value)
    with pytest.raises(AssertionError):
        await nul_is_written(bench, "perWrite")


async def test_nul_in_the_reason_of_an_attempt_is_cleaned(bench: Bench, mode: str) -> None:
    [one] = await bench.submit(1)
    async with bench.worker(Scripted(TemporaryScoringError("a\x00b\ud800")), connection_mode=mode):
        assert await ended(bench) == ("errored", "a\ufffdb\ufffd")
    assert (await bench.view(one)).status == "pending"


async def ended(bench: Bench) -> tuple[str, str]:
    """How the first attempt ended."""
    async with asyncio.timeout(10):
        while True:
            row = await bench.db.fetchrow("SELECT outcome, detail FROM attempts WHERE attempt = 1")
            if row is not None and row["outcome"] is not None:
                return row["outcome"], row["detail"]
            await asyncio.sleep(0.02)


async def a_bug_ends_its_attempt(bench: Bench, mode: str) -> None:
    [one] = await bench.submit(1)
    async with bench.worker(Scripted(RuntimeError("boom")), connection_mode=mode):
        assert await ended(bench) == ("errored", "RuntimeError: boom")
        assert (await bench.view(one)).status == "pending"


async def test_a_bug_ends_its_attempt_with_its_name(bench: Bench, mode: str) -> None:
    await a_bug_ends_its_attempt(bench, mode)


async def test_off_switch_a_bug_would_leave_its_attempt_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> None:
        pass

    monkeypatch.setattr("shortlist.worker.attempts.Attempts._end_broken", nothing)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(a_bug_ends_its_attempt(bench, "perWrite"), 2)


async def an_end_that_is_refused_comes_later(bench: Bench, proxy: PostgresProxy, mode: str) -> None:
    await bench.submit(1)
    async with bench.worker(Scripted(RuntimeError("boom")), connection_mode=mode):
        with proxy.refusing("claims.end_attempt", "P0001", "23514", times=4) as refusal:
            assert await ended(bench) == ("errored", "RuntimeError: boom")
        assert refusal.is_over


async def test_a_claim_is_let_go_of_only_when_its_attempt_has_ended(
    refused_bench: Bench, proxy: PostgresProxy, mode: str
) -> None:
    await an_end_that_is_refused_comes_later(refused_bench, proxy, mode)


async def test_off_switch_an_end_that_is_refused_once_would_not_come(
    refused_bench: Bench, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Attempts, "_end_for_certain", Attempts._end_broken)
    with pytest.raises(TimeoutError):
        await an_end_that_is_refused_comes_later(refused_bench, proxy, "perWrite")


async def test_a_claim_that_is_refused_for_its_data_fails_alone(
    refused_bench: Bench, proxy: PostgresProxy, mode: str
) -> None:
    bench = refused_bench
    ids = await bench.submit(10)
    await bench.db.execute(
        f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE 'no' USING ERRCODE = '22021'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON attempts FOR EACH ROW
        WHEN (NEW.application_id = '{ids[4]}') EXECUTE FUNCTION refuse();
        """
    )
    with (
        proxy.refusing(LATEST, *OUTAGES, times=len(OUTAGES)) as looks,
        proxy.refusing("claims.fail", *OUTAGES, times=len(OUTAGES)) as failures,
    ):
        async with bench.worker(connection_mode=mode):
            views = await bench.until_final(ids)
    assert looks.is_over
    assert failures.is_over
    assert [view.status for view in views if view.id != ids[4]] == ["scored"] * 9
    assert {view.attempts for view in views} == {0, 1}
    failed = await bench.view(ids[4])
    assert failed.reason is not None
    assert "CharacterNotInRepertoireError" in failed.reason


@pytest.mark.parametrize("step", ["claims.ended", "claims.end_attempt"])
async def test_every_call_at_an_attempts_end_is_tried_again(
    refused_bench: Bench, proxy: PostgresProxy, mode: str, step: str
) -> None:
    bench = refused_bench
    await bench.submit(1)
    with proxy.refusing(step, *OUTAGES, times=len(OUTAGES)) as refusal:
        async with bench.worker(Scripted(TemporaryScoringError("later")), connection_mode=mode):
            assert await ended(bench) == ("errored", "later")
    assert refusal.is_over
    assert await bench.db.fetchval("SELECT count(*) FROM attempts") == 1


@pytest.mark.parametrize(
    ("step", "asked"), [("claims.ended", store.COUNTING), ("claims.end_attempt", store.ENDING)]
)
async def test_off_switch_a_call_at_an_attempts_end_that_is_made_once_loses_its_reason(
    refused_bench: Bench,
    proxy: PostgresProxy,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    asked: str,
) -> None:
    as_it_is = trouble.persistently

    async def once(operation: Callable[[], Awaitable[object]], at: str) -> object:
        return await (operation() if at == asked else as_it_is(operation, at))

    monkeypatch.setattr(store, "persistently", once)
    with pytest.raises(AssertionError):
        await test_every_call_at_an_attempts_end_is_tried_again(
            refused_bench, proxy, "perWrite", step
        )


async def test_a_postponement_that_is_refused_comes_later(
    refused_bench: Bench, proxy: PostgresProxy, mode: str
) -> None:
    bench = refused_bench
    [one] = await bench.accept(1, "payload")
    with proxy.refusing("claims.postpone", *OUTAGES, times=len(OUTAGES)) as refusal:
        async with bench.worker(connection_mode=mode) as running:
            await running.worker._runner._claims.postpone(one, 60.0)
    assert refusal.is_over
    assert await bench.db.fetchval("SELECT application_id FROM retries") == one


async def test_the_databases_own_isolation_is_not_ours(
    bench: Bench, db: Connection, database_url: str, mode: str
) -> None:
    name = await db.fetchval("SELECT current_database()")
    await db.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    connection = await postgres.connect(database_url, application_name="test")
    assert await connection.fetchval("SHOW transaction_isolation") == "read committed"
    await connection.close()
    ids = await bench.submit(50)
    async with bench.worker(connection_mode=mode):
        views = await bench.until_final(ids)
    assert {(view.status, view.attempts) for view in views} == {("scored", 1)}
    assert await db.fetchval(OPEN_ATTEMPTS) == 0
