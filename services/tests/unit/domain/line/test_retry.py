from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.domain.line.retry import (
    BUG_ATTEMPTS_WITHOUT_OTHERS,
    BUG_CEILING_SECONDS,
    GiveUp,
    RetryPolicy,
    TryAgain,
    asks_for_others,
    bug_backoff_seconds,
    decide_retry,
)

POLICY = RetryPolicy(max_attempts=5)


def after_a_bug(errors: int, *, others_end: bool, chance: float = 0.0) -> TryAgain | GiveUp:
    return decide_retry("bug", errors=errors, chance=chance, policy=POLICY, others_end=others_end)


def shortest_life_seconds(*, others_end: bool) -> float:
    """From the first bug to the failure, when every wait is as short as it can be."""
    total, errors = 0.0, 1
    while isinstance(decision := after_a_bug(errors, others_end=others_end), TryAgain):
        total, errors = total + decision.delay_seconds, errors + 1
    return total


def test_a_bug_that_meets_every_application_fails_none_for_most_of_an_hour() -> None:
    assert shortest_life_seconds(others_end=False) > 50 * 60


def test_a_bug_of_one_application_fails_it_after_its_attempts_and_a_minute() -> None:
    assert isinstance(after_a_bug(POLICY.max_attempts, others_end=True), GiveUp)
    assert isinstance(after_a_bug(POLICY.max_attempts - 1, others_end=True), TryAgain)
    assert shortest_life_seconds(others_end=True) == 75


def test_even_a_bug_that_meets_every_application_is_bounded() -> None:
    assert isinstance(after_a_bug(BUG_ATTEMPTS_WITHOUT_OTHERS, others_end=False), GiveUp)
    assert isinstance(after_a_bug(BUG_ATTEMPTS_WITHOUT_OTHERS - 1, others_end=False), TryAgain)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_waits_after_a_bug_are_bounded_both_ways(errors: int, chance: float) -> None:
    assert 5 <= bug_backoff_seconds(errors, chance) <= BUG_CEILING_SECONDS


@pytest.mark.parametrize("kind", ["temporary", "permanent", "throttled"])
def test_other_applications_matter_after_a_bug_only(kind: str) -> None:
    assert not asks_for_others(kind, 100, POLICY)  # type: ignore[arg-type]
    assert asks_for_others("bug", POLICY.max_attempts, POLICY)
    assert not asks_for_others("bug", POLICY.max_attempts - 1, POLICY)
