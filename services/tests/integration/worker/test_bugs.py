"""What a bug costs: attempts, slowly; and it fails only what fails while others are scored."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from shortlist.domain.line.scoring import Score
from shortlist.worker.attempts import Attempts
from testkit.processes.scripted import Scripted
from testkit.waiting import until

if TYPE_CHECKING:
    from uuid import UUID

    from testkit.processes.bench import Bench
    from testkit.proxies.postgres import PostgresProxy


class Broken(Scripted):
    """Meets a bug each time."""

    async def score(self, payload: str) -> Score:
        del payload
        raise RuntimeError("boom")


pytestmark = pytest.mark.usefixtures("logs_as_a_process")

SOONEST_RETRY = """
    SELECT min(extract(epoch FROM e.due_at - t.claimed_at))::float8
    FROM retries e JOIN attempts t USING (application_id) WHERE t.attempt = $1
"""


async def until_each_has_ended_in_an_error(bench: Bench, attempts: int) -> None:
    async def ended() -> bool:
        found = "SELECT count(*) FROM attempts WHERE outcome = 'errored'"
        return int(await bench.db.fetchval(found)) == attempts

    await until(ended, within_seconds=20, what=f"{attempts} attempts have ended in an error")


async def a_bug_that_meets_all_fails_none(bench: Bench, mode: str) -> None:
    await bench.submit(12)
    async with bench.worker(Broken(), connection_mode=mode):
        await until_each_has_ended_in_an_error(bench, 12)
    assert await bench.db.fetchval("SELECT count(*) FROM results") == 0
    assert await bench.db.fetchval(SOONEST_RETRY, 1) >= 5


async def test_a_bug_that_meets_every_application_fails_none_of_them_soon(
    bench: Bench, mode: str
) -> None:
    await a_bug_that_meets_all_fails_none(bench, mode)


async def test_off_switch_a_bug_booked_as_an_error_of_the_moment_comes_back_too_soon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_is = Attempts._count_error

    async def count(attempts: Attempts, held: object, _: str, reason: str) -> None:
        await as_it_is(attempts, held, "temporary", reason)  # type: ignore[arg-type]

    monkeypatch.setattr(Attempts, "_count_error", count)
    with pytest.raises(AssertionError):
        await a_bug_that_meets_all_fails_none(bench, "perWrite")


async def tried_before(bench: Bench, one: UUID, times: int) -> None:
    """So many attempts have ended in an error, the last of them a minute ago."""
    await bench.db.execute(
        "INSERT INTO attempts (application_id, attempt, worker_id, outcome, detail, claimed_at)"
        " SELECT $1, n, $2, 'errored', 'boom', now() - interval '1 min'"
        " FROM generate_series(1, $3::integer) n",
        one,
        uuid4(),
        times,
    )


async def the_last_attempt(bench: Bench, mode: str, *, others_are_scored: bool) -> str | None:
    """What becomes of one that a bug met four times, when it meets it again."""
    [other] = await bench.submit(1)
    async with bench.worker(Scripted(Score(50.0)), connection_mode=mode):
        await bench.until_final([other])
    if not others_are_scored:
        await bench.db.execute("UPDATE results SET finished_at = now() - interval '1 hour'")
    [one] = await bench.accept(1, "payload")
    await tried_before(bench, one, 4)
    await bench.publish([one])
    async with bench.worker(Broken(), connection_mode=mode):
        await bench.until([one], lambda view: view.attempts == 5 and view.status != "scoring")
    return (await bench.view(one)).reason


async def test_a_bug_that_meets_one_application_fails_it_with_the_true_reason(
    bench: Bench, mode: str
) -> None:
    assert await the_last_attempt(bench, mode, others_are_scored=True) == "RuntimeError: boom"


async def test_the_question_about_others_is_asked_again(
    refused_bench: Bench, proxy: PostgresProxy, mode: str
) -> None:
    with proxy.refusing("claims.others_scored", "53100", "57P01", "42501", times=3) as refusal:
        reason = await the_last_attempt(refused_bench, mode, others_are_scored=True)
    assert refusal.is_over
    assert reason == "RuntimeError: boom"


async def test_while_no_other_application_is_scored_a_bug_fails_none(
    bench: Bench, mode: str
) -> None:
    assert await the_last_attempt(bench, mode, others_are_scored=False) is None
    assert await bench.db.fetchval(SOONEST_RETRY, 5) >= 80


async def a_failure_that_is_refused_keeps_no_slot(
    bench: Bench, proxy: PostgresProxy, mode: str
) -> None:
    [one] = await bench.accept(1, "payload")
    await tried_before(bench, one, 24)
    await bench.publish([one])
    with proxy.refusing("claims.complete", "P0001") as refusal:
        async with bench.worker(Broken(), connection_mode=mode):
            await until_each_has_ended_in_an_error(bench, 25)
    assert refusal.said
    assert await bench.db.fetchval(SOONEST_RETRY, 25) > 290


async def test_a_failure_that_postgres_refuses_is_put_aside_and_keeps_no_slot(
    refused_bench: Bench, proxy: PostgresProxy, mode: str
) -> None:
    await a_failure_that_is_refused_keeps_no_slot(refused_bench, proxy, mode)


async def test_off_switch_a_failure_that_is_refused_would_keep_its_slot(
    refused_bench: Bench, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Attempts, "_put_aside", Attempts._end_broken)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(4):
            await a_failure_that_is_refused_keeps_no_slot(refused_bench, proxy, "perWrite")
