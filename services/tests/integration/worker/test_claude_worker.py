"""A worker that scores with Claude: what each mood of the service makes of an application."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shortlist.settings import Settings
from shortlist.storage.redis import keys, model_limits
from shortlist.worker.scorers import make_scorer
from shortlist.worker.scorers.simulated import score_of_payload
from testkit.processes.bench import DEFAULT
from testkit.processes.messages_api import MessagesApi
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shortlist.domain.line.scoring import Scorer
    from testkit.processes.bench import Bench


@pytest.fixture
async def api() -> AsyncIterator[MessagesApi]:
    async with MessagesApi() as server:
        yield server


def claude(api: MessagesApi) -> Scorer:
    """A scorer of its own for each worker, which closes it."""
    return make_scorer(
        Settings.model_validate(
            {
                "scorer": "claude",
                "anthropic_api_key": "sk-local",
                "anthropic_base_url": api.url,
            }
        )
    )


async def test_a_score_is_kept_with_its_model_request_and_tokens(
    bench: Bench, api: MessagesApi, mode: str
) -> None:
    ids = await bench.submit(5, "Ten years of Kubernetes")
    async with bench.worker(claude(api), connection_mode=mode):
        views = await bench.until_final(ids)
    assert {view.score for view in views} == {score_of_payload("Ten years of Kubernetes")}
    details = await bench.db.fetch("SELECT detail FROM results")
    assert {row["detail"]["model"] for row in details} == {Settings().model}
    assert {row["detail"]["input_tokens"] for row in details} == {405}
    assert len({row["detail"]["request_id"] for row in details}) == 5


async def test_a_text_that_is_refused_fails_with_the_services_words(
    bench: Bench, api: MessagesApi
) -> None:
    [one] = await bench.submit(1, "!bad_request")
    async with bench.worker(claude(api)):
        [view] = await bench.until_final([one])
    assert (view.status, view.attempts) == ("failed", 1)
    assert view.reason == (
        "claude: 400 invalid_request_error; messages: this text is not taken; request req_000001"
    )


@pytest.mark.parametrize("kind", ["refusal", "cut_off", "malformed", "server_error", "reset"])
async def test_what_may_pass_is_tried_again_and_then_failed(
    bench: Bench, api: MessagesApi, kind: str
) -> None:
    [retried] = await bench.submit(1, f"!{kind}")
    async with bench.worker(claude(api)):
        await bench.until([retried], lambda v: v.attempts == 1 and v.status == "pending")
    assert await bench.db.fetchval("SELECT count(*) FROM retries") == 1
    [given_up] = await bench.submit(1, f"!{kind}")
    async with bench.worker(claude(api), max_attempts=1):
        [view] = await bench.until_final([given_up])
    assert view.status == "failed"
    assert (view.reason or "").startswith("claude: ")


async def test_a_429_pauses_all_workers_of_the_pipeline_and_costs_no_attempt(
    bench: Bench, api: MessagesApi
) -> None:
    api.behave("throttled", retry_after="30", times=1)
    async with (
        bench.worker(claude(api), max_attempts=1) as first,
        bench.worker(claude(api), max_attempts=1) as second,
    ):
        [throttled] = await bench.submit(1, "throttled")
        await bench.until([throttled], lambda v: v.attempts == 1 and v.status == "pending")
        assert await model_limits.paused_for(bench.redis, DEFAULT) > 20

        async def both_know() -> bool:
            return all(w.worker._gate.paused_seconds > 0 for w in (first, second))

        await until(both_know, within_seconds=15, what="both workers know of the pause")
        waiting = await bench.submit(10, "waiting")
        await asyncio.sleep(1.5)  # longer than a pull blocks: they had every chance
        assert len(api.requests) == 1
        await bench.redis.pexpire(keys.limiter(DEFAULT), 1)
        views = await bench.until_final(waiting)
    assert {view.status for view in views} == {"scored"}
    assert (await bench.view(throttled)).status == "pending"
