from __future__ import annotations

import inspect

from shortlist.domain.errors import ShortlistError
from shortlist.domain.line import scoring
from shortlist.domain.line.scoring import RefusedError, ScoringError, ThrottledError


def test_an_error_that_asks_to_wait_says_for_how_long() -> None:
    assert ThrottledError("slow down", 7.5).retry_after_seconds == 7.5
    assert RefusedError("no such model", 60.0).ask_again_seconds == 60.0
    assert str(ThrottledError("slow down", 7.5)) == "slow down"


def test_whatever_a_scorer_may_raise_is_a_scoring_error() -> None:
    raised = [kind for _, kind in inspect.getmembers(scoring, inspect.isclass)]
    errors = [kind for kind in raised if issubclass(kind, Exception) and kind is not ShortlistError]
    assert len(errors) > 5
    assert all(issubclass(kind, ScoringError) for kind in errors)
