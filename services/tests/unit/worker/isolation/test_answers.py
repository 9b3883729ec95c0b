from __future__ import annotations

import pytest

from shortlist.domain.line.scoring import (
    PermanentScoringError,
    RefusedError,
    Score,
    ScoringError,
    TemporaryScoringError,
    ThrottledError,
)
from shortlist.worker.isolation import answers, fork_server


def test_a_score_arrives_as_it_was_given() -> None:
    score = Score(12.34, {"rationale": "It says \x00 and \ud800.", "model": "m"}, 150)
    told = answers.of_score(score)
    assert fork_server.END_MARK not in told
    assert answers.decoded(told) == score


@pytest.mark.parametrize(
    "error",
    [
        TemporaryScoringError("moment"),
        PermanentScoringError("text"),
        ThrottledError("capacity", 7.5),
        RefusedError("key", 60.0),
    ],
)
def test_a_failure_arrives_as_it_was_raised(error: ScoringError) -> None:
    error.tokens = 3
    with pytest.raises(type(error)) as raised:
        answers.decoded(answers.of_error(error))
    assert vars(raised.value) == vars(error)
    assert str(raised.value) == str(error)


def test_a_bug_is_one_here_as_well_and_keeps_its_name() -> None:
    with pytest.raises(answers.ScorerBugError, match=r"^KeyError: 'x'$"):
        answers.decoded(answers.of_error(KeyError("x")))
