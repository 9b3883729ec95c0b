from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import pytest

from shortlist.domain.hiring.deadlines import DAYS, AnswerHours
from shortlist.domain.hiring.opening import (
    InvalidRulesError,
    Rules,
    check_rules,
    fills,
    rules_from_json,
    rules_to_json,
    takes_applications,
)

NOW = dt.datetime(2026, 5, 4, 10, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(hours=1)
HOURS = AnswerHours("Europe/Berlin", frozenset(DAYS[:5]), 540, 1020)
RULES = Rules(capacity=3)


@pytest.mark.parametrize(
    "rules",
    [
        Rules(1),
        Rules(1_000_000),
        replace(RULES, ack_window_seconds=1),
        replace(RULES, ack_window_seconds=31_536_000),
        replace(RULES, max_misses=1),
        replace(RULES, fill_from=NOW, closes_at=NOW),
        replace(RULES, answer_hours=HOURS),
        replace(RULES, answer_hours=replace(HOURS, from_minute=0, to_minute=1440)),
        replace(RULES, ack_window_seconds=520 * 5 * 8 * 3600 // 10, answer_hours=HOURS),
    ],
)
def test_rules_within_the_bounds_are_taken_and_survive_json(rules: Rules) -> None:
    check_rules(rules)
    assert rules_from_json(json.loads(json.dumps(rules_to_json(rules)))) == rules


@pytest.mark.parametrize(
    ("rules", "fields"),
    [
        (Rules(0), ["capacity"]),
        (Rules(1_000_001), ["capacity"]),
        (replace(RULES, ack_window_seconds=0), ["ackWindowSeconds"]),
        (replace(RULES, ack_window_seconds=31_536_001), ["ackWindowSeconds"]),
        (replace(RULES, max_misses=0), ["maxMisses"]),
        (replace(RULES, fill_from=LATER, closes_at=NOW), ["fillFrom"]),
        (replace(RULES, closes_at=NOW.replace(tzinfo=None)), ["closesAt"]),
        (replace(RULES, answer_hours=replace(HOURS, zone="Mars/Olympus")), ["answerHours.zone"]),
        (replace(RULES, answer_hours=replace(HOURS, days=frozenset())), ["answerHours.days"]),
        (replace(RULES, answer_hours=replace(HOURS, from_minute=1020)), ["answerHours.from"]),
        (replace(RULES, answer_hours=replace(HOURS, to_minute=1441)), ["answerHours.from"]),
        (
            replace(
                RULES, ack_window_seconds=31_536_000, answer_hours=replace(HOURS, to_minute=541)
            ),
            ["answerHours"],
        ),
        (Rules(0, ack_window_seconds=0), ["capacity", "ackWindowSeconds"]),
    ],
)
def test_rules_beyond_the_bounds_are_refused_field_by_field(
    rules: Rules, fields: list[str]
) -> None:
    with pytest.raises(InvalidRulesError) as refused:
        check_rules(rules)
    assert [problem.field for problem in refused.value.problems] == fields


def test_an_opening_takes_applications_until_it_closes() -> None:
    closing = replace(RULES, closes_at=LATER)
    assert takes_applications("open", RULES, NOW)
    assert takes_applications("open", closing, LATER - dt.timedelta(milliseconds=1))
    assert not takes_applications("open", closing, LATER)
    assert not takes_applications("closed", RULES, NOW)
    assert not takes_applications("ended", RULES, NOW)


def test_places_are_filled_from_fill_from_on_and_never_once_it_has_ended() -> None:
    waiting = replace(RULES, fill_from=LATER)
    assert fills("open", RULES, NOW)
    assert not fills("open", waiting, LATER - dt.timedelta(milliseconds=1))
    assert fills("closed", waiting, LATER)
    assert not fills("ended", RULES, NOW)
