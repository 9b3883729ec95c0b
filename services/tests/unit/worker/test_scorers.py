from __future__ import annotations

import asyncio
import random
import statistics

import pytest

from shortlist.domain.line.scoring import ThrottledError
from shortlist.settings import Settings
from shortlist.worker.scorers import make_scorer
from shortlist.worker.scorers.claude.scorer import Pacer, pace_seconds
from shortlist.worker.scorers.simulated import SimulatedScorer, draw_seconds, score_of_payload

NOON = {"date": "Sun, 22 Nov 2026 12:00:00 GMT"}
"""By the service's own clock."""


async def test_a_simulated_score_depends_on_the_payload_alone() -> None:
    first, second = (SimulatedScorer(0, 0, random.Random(seed)) for seed in (1, 2))
    assert (await first.score("a")).value == (await second.score("a")).value
    assert (await first.score("a")).value == score_of_payload("a")
    assert (await first.score("b")).value != score_of_payload("a")


async def test_many_simulated_scores_wait_side_by_side() -> None:
    scorer = make_scorer(Settings.model_validate({"service_seconds": 0.2}))
    async with asyncio.timeout(20):  # one after the other they would take 100 s
        await asyncio.gather(*(scorer.score(str(n)) for n in range(500)))
    await scorer.close()


def test_a_service_time_is_constant_without_a_spread() -> None:
    assert draw_seconds(1.5, 0, random.Random(1)) == 1.5
    assert draw_seconds(0, 2, random.Random(1)) == 0


@pytest.mark.parametrize("cv", [0.3, 1.0, 2.0])
def test_service_times_have_the_mean_and_the_spread_that_were_asked_for(cv: float) -> None:
    chance = random.Random(7)
    times = [draw_seconds(1.5, cv, chance) for _ in range(200_000)]
    assert statistics.fmean(times) == pytest.approx(1.5, rel=0.03)
    assert statistics.stdev(times) / statistics.fmean(times) == pytest.approx(cv, rel=0.15)


def limits(name: str, limit: int, remaining: int, reset: str) -> dict[str, str]:
    prefix = f"anthropic-ratelimit-{name}-"
    return NOON | {
        prefix + "limit": str(limit),
        prefix + "remaining": str(remaining),
        prefix + "reset": reset,
    }


IN_A_MINUTE = "2026-11-22T12:01:00Z"


def test_plenty_left_is_no_reason_to_slow_down() -> None:
    assert pace_seconds(limits("requests", 50, 40, IN_A_MINUTE), 400, 40) == 0
    assert pace_seconds({}, 400, 40) == 0


def test_what_is_left_is_spread_until_the_limit_is_full_again() -> None:
    assert pace_seconds(limits("requests", 100, 6, IN_A_MINUTE), 400, 40) == 10
    assert pace_seconds(limits("input-tokens", 80_000, 1600, IN_A_MINUTE), 400, 40) == 15
    assert pace_seconds(limits("tokens", 80_000, 0, IN_A_MINUTE), 400, 40) == 60


def test_the_scarcest_limit_sets_the_pace() -> None:
    headers = limits("requests", 100, 6, IN_A_MINUTE) | limits(
        "output-tokens", 8_000, 120, IN_A_MINUTE
    )
    assert pace_seconds(headers, 400, 40) == 20


@pytest.mark.parametrize("reset", ["2026-11-22T11:59:00Z", "2026-11-22T12:01:00", "soon"])
def test_a_reset_that_is_over_or_malformed_is_ignored(reset: str) -> None:
    assert pace_seconds(limits("requests", 100, 0, reset), 400, 40) == 0


def test_a_pace_spaces_starts_and_turns_away_who_would_wait_long() -> None:
    pacer = Pacer()
    assert [pacer.reserve(0.0) for _ in range(3)] == [0, 0, 0]
    pacer.learn(4.0, 0.0)
    assert [pacer.reserve(0.0), pacer.reserve(0.0)] == [4, 8]
    with pytest.raises(ThrottledError) as caught:
        pacer.reserve(0.0)
    assert caught.value.retry_after_seconds == 12
    assert pacer.reserve(3.0) == 9
    pacer.learn(0.0, 4.0)
    assert pacer.reserve(4.0) == 0
