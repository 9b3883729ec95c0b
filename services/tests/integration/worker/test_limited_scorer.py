"""The limits that a pipeline's workers share, as a worker keeps to them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from shortlist.domain.line.scoring import Score, TemporaryScoringError, ThrottledError
from shortlist.embedded.servers.valkey import EmbeddedRedis
from shortlist.settings import Settings
from shortlist.storage import redis
from shortlist.storage.redis import keys, model_limits
from shortlist.storage.redis.model_limits import RateLimits
from shortlist.worker.main import Worker
from shortlist.worker.scorers import make_scorer
from shortlist.worker.scorers.limited import LimitedScorer
from testkit.processes.bench import DEFAULT
from testkit.processes.messages_api import MessagesApi
from testkit.processes.scripted import Scripted
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from shortlist.domain.line.scoring import Scorer
    from shortlist.storage.redis import Redis
    from testkit.processes.bench import Bench


@pytest.fixture
async def api() -> AsyncIterator[MessagesApi]:
    async with MessagesApi() as server:
        yield server


def limited(
    client: Redis, scorer: Scorer, *, requests: int | None = None, tokens: int | None = None
) -> LimitedScorer:
    limits = RateLimits(client, DEFAULT, requests_per_minute=requests, tokens_per_minute=tokens)
    return LimitedScorer(scorer, limits)


def claude(api: MessagesApi) -> Scorer:
    where = {"anthropic_api_key": "sk-local", "anthropic_base_url": api.url}
    return make_scorer(Settings.model_validate({"scorer": "claude", **where}))


async def test_two_workers_together_score_no_more_than_the_limit(bench: Bench) -> None:
    scorer = Scripted(Score(1.0))
    ids = await bench.submit(5)
    async with (
        bench.worker(scorer, requests_per_minute=1, max_attempts=1),
        bench.worker(scorer, requests_per_minute=1, max_attempts=1),
    ):

        async def one_scored_and_one_sent_back() -> bool:
            counts = "SELECT count(*) FROM results), (SELECT count(*) FROM retries"
            scored, sent_back = await bench.db.fetchrow(f"SELECT ({counts})")
            return bool(scored and sent_back)

        await until(one_scored_and_one_sent_back, what="one is scored, another throttled")
        assert await model_limits.paused_for(bench.redis, DEFAULT) > 30
        await asyncio.sleep(1.5)  # longer than a pull blocks: they had every chance
    assert scorer.calls == 1
    views = [await bench.view(one) for one in ids]
    assert sorted(view.status for view in views) == ["pending"] * 4 + ["scored"]
    why = "SELECT DISTINCT detail FROM attempts WHERE outcome = 'throttled'"
    assert await bench.db.fetchval(why) == "the pipeline's own limit is reached"


async def test_a_start_waits_its_turn(line_redis: Redis) -> None:
    scorer = Scripted(Score(1.0))
    shared = limited(line_redis, scorer, requests=6)
    await shared.score("now")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await shared.score("in 10 s")
    assert scorer.calls == 1


async def test_what_a_reply_took_in_tokens_is_charged(bench: Bench, api: MessagesApi) -> None:
    [first] = await bench.submit(1, "Ten years of Kubernetes")
    async with bench.worker(claude(api), tokens_per_minute=60, max_attempts=1):
        await bench.until_final([first])
        [second] = await bench.submit(1)
        await bench.until([second], lambda v: v.attempts == 1 and v.status == "pending")
    assert len(api.requests) == 1
    # 405 input and 40 output tokens, at one a second
    assert 300_000 < await bench.redis.pttl(keys.tokens(DEFAULT)) <= 445_000


async def test_a_reply_that_is_no_score_is_charged_too(line_redis: Redis, api: MessagesApi) -> None:
    scorer = limited(line_redis, claude(api), tokens=60)
    with pytest.raises(TemporaryScoringError, match="max_tokens"):
        await scorer.score("!cut_off")
    with pytest.raises(ThrottledError) as caught:
        await scorer.score("next")
    assert 300 < caught.value.retry_after_seconds <= 442
    await scorer.close()


async def test_without_a_limit_the_scorer_is_asked_directly() -> None:
    scorer = Scripted(Score(1.0))
    assert Worker(Settings(), scorer)._scorer is scorer
    wrapped = Worker(Settings(requests_per_minute=1), scorer)._scorer
    assert isinstance(wrapped, LimitedScorer)
    assert wrapped.name == "scripted"  # what traces say is who scores


async def test_while_redis_is_away_scores_go_on_and_afterwards_the_limit_holds(
    tmp_path: Path,
) -> None:
    server = EmbeddedRedis(tmp_path)
    server.start()
    client = redis.connect(server.url)
    scorer = limited(client, Scripted(Score(1.0)), requests=1)
    await scorer.score("x")
    with pytest.raises(ThrottledError):
        await scorer.score("x")
    server.stop()
    with capture_logs() as logs:
        for _ in range(5):
            assert (await scorer.score("x")).value == 1.0
        scorer._ask_after = 0.0  # as after a second
        await scorer.score("x")
    assert [entry["event"] for entry in logs] == ["redis_unavailable"]
    server.start()

    async def limited_again() -> bool:
        try:
            await scorer.score("x")
        except ThrottledError:
            return True
        return False

    await until(limited_again, within_seconds=20, what="the limit holds again")
    server.stop()
    with capture_logs() as logs:
        await scorer.score("x")
    assert [entry["event"] for entry in logs] == ["redis_unavailable"]  # another outage
    await client.aclose()


async def test_a_redis_that_hangs_costs_one_time_out_and_not_one_for_each_score(
    tmp_path: Path,
) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    path = str(tmp_path / "s")
    async with await asyncio.start_unix_server(say_nothing, path):
        client = redis.connect(f"unix://{path}", timeout_seconds=0.5)
        scorer = limited(client, Scripted(Score(1.0)), requests=1)
        async with asyncio.timeout(20):  # one by one they would take 100 s
            await asyncio.gather(*(scorer.score("x") for _ in range(200)))
        await client.aclose()


async def test_more_scores_at_once_than_connections_keep_to_the_limit(line_redis: Redis) -> None:
    scorer = Scripted(Score(1.0))
    shared = limited(line_redis, scorer, requests=1)
    with capture_logs() as logs:
        scores = [shared.score("x") for _ in range(300)]
        results = await asyncio.gather(*scores, return_exceptions=True)
    assert scorer.calls == 1
    assert sum(isinstance(result, ThrottledError) for result in results) == 299
    assert logs == []
