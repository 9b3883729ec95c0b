from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest

from shortlist_operator.reporting.conditions import (
    Condition,
    ConditionType,
    Situation,
    conditions,
    merged,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

CALM: dict[str, Any] = {
    "mode": "Auto",
    "conflict": None,
    "target_missing": None,
    "invalid": None,
    "refused": None,
    "failed": None,
    "looked": True,
    "redis_error": None,
    "postgres_error": None,
    "desired": 2,
    "ready": 2,
    "draining": 0,
    "waiting": 0,
    "in_flight": 0,
    "limited_by": None,
    "waiters": 0,
    "budget": 80,
}


def found(kind: ConditionType, **changes: Any) -> Condition:
    (one,) = [c for c in conditions(Situation(**CALM | changes)) if c.type == kind]
    return one


def test_every_condition_is_always_told_in_one_order() -> None:
    told = [condition.type for condition in conditions(Situation(**CALM))]
    assert told == list(get_args(ConditionType))


CASES: list[tuple[ConditionType, Mapping[str, Any], str, str]] = [
    ("Ready", {}, "True", "Sizing"),
    ("Ready", {"invalid": "spec: …"}, "False", "InvalidSpec"),
    ("Ready", {"conflict": "ScaledObject/keda"}, "False", "ConflictingScaler"),
    ("Ready", {"target_missing": "w"}, "False", "TargetMissing"),
    ("Ready", {"refused": "422: …"}, "False", "DeploymentRefused"),
    ("Ready", {"refused": "409: …", "target_missing": "w"}, "False", "DeploymentRefused"),
    ("Ready", {"failed": "403: …"}, "False", "TickFailed"),
    ("Ready", {"failed": "403: …", "target_missing": "w"}, "False", "TargetMissing"),
    ("Ready", {"redis_error": "away"}, "False", "LineUnreadable"),
    ("Ready", {"postgres_error": "away"}, "True", "Sizing"),
    ("Ready", {"model_refuses": "claude: 401"}, "False", "ModelRefuses"),
    ("Ready", {"model_refuses": "claude: 401", "redis_error": "x"}, "False", "LineUnreadable"),
    ("Ready", {"invalid": "spec: …", "redis_error": "away"}, "False", "InvalidSpec"),
    ("Active", {}, "True", "WorkersRun"),
    ("Active", {"desired": 0}, "True", "WorkersRun"),
    ("Active", {"desired": 1, "ready": 0}, "True", "WorkersRun"),
    ("Active", {"desired": 0, "ready": 0}, "False", "ScaledToZero"),
    ("MetricsAvailable", {}, "True", "AllRead"),
    ("MetricsAvailable", {"redis_error": "away"}, "False", "RedisUnreadable"),
    ("MetricsAvailable", {"postgres_error": "away"}, "False", "PostgresUnreadable"),
    ("ScalingLimited", {}, "False", "NotLimited"),
    ("ScalingLimited", {"limited_by": "maxReplicas"}, "True", "LimitedByMaxReplicas"),
    ("ScalingLimited", {"limited_by": "connections"}, "True", "LimitedByConnections"),
    ("ConnectionBudgetExhausted", {}, "False", "Enough"),
    ("ConnectionBudgetExhausted", {"waiters": 3}, "True", "NotEnoughConnections"),
    (
        "ConnectionBudgetExhausted",
        {"limited_by": "connections"},
        "True",
        "NotEnoughConnections",
    ),
    ("ConnectionBudgetExhausted", {"limited_by": "maxReplicas"}, "False", "Enough"),
    ("ConnectionBudgetExhausted", {"budget": None}, "Unknown", "PostgresUnreadable"),
    ("Active", {"looked": False}, "Unknown", "NotLooked"),
    ("MetricsAvailable", {"looked": False}, "Unknown", "NotLooked"),
    ("ScalingLimited", {"looked": False}, "Unknown", "NotLooked"),
    ("ConnectionBudgetExhausted", {"looked": False}, "Unknown", "NotLooked"),
    ("Draining", {}, "False", "NobodyDrains"),
    ("Draining", {"draining": 2}, "True", "ScalingIn"),
    ("Paused", {}, "False", "ModeAuto"),
    ("Paused", {"mode": "Paused"}, "True", "ModePaused"),
    ("Paused", {"mode": "DryRun"}, "True", "ModeDryRun"),
]


@pytest.mark.parametrize(("kind", "changes", "status", "reason"), CASES)
def test_a_condition_says_what_is_and_why(
    kind: ConditionType, changes: Mapping[str, Any], status: str, reason: str
) -> None:
    condition = found(kind, **changes)
    assert (condition.status, condition.reason) == (status, reason)
    assert condition.message


def test_both_problems_are_named_when_neither_server_can_be_read() -> None:
    condition = found("MetricsAvailable", redis_error="Redis is away", postgres_error="Postgres")
    assert condition.message == "Redis is away; Postgres"


def test_messages_name_who_and_what() -> None:
    assert "ScaledObject/keda" in found("Ready", conflict="ScaledObject/keda").message
    assert "Deployment w " in found("Ready", target_missing="w").message
    assert "2 of 3 workers" in found("Active", desired=3).message
    assert "3 more" in found("ConnectionBudgetExhausted", waiters=3).message


PAUSED = Condition("Paused", "True", "ModePaused", "spec.scaling.mode is Paused.")


def test_a_new_condition_begins_now() -> None:
    (written,) = merged([PAUSED], [], now="T1", generation=4)
    assert written == {
        "type": "Paused",
        "status": "True",
        "reason": "ModePaused",
        "message": "spec.scaling.mode is Paused.",
        "observedGeneration": 4,
        "lastTransitionTime": "T1",
    }


def test_the_time_of_transition_moves_with_the_status_and_with_nothing_else() -> None:
    before = merged([PAUSED], [], now="T1", generation=1)
    reworded = Condition("Paused", "True", "ModeDryRun", "another reason, another message")
    (same,) = merged([reworded], before, now="T2", generation=2)
    assert (same["lastTransitionTime"], same["reason"]) == ("T1", "ModeDryRun")
    (changed,) = merged(
        [Condition("Paused", "False", "ModeAuto", "")], before, now="T3", generation=2
    )
    assert changed["lastTransitionTime"] == "T3"


def test_a_condition_that_nobody_knows_any_more_is_dropped() -> None:
    old = [{"type": "Forgotten", "status": "True"}, {"status": "True"}]
    assert [c["type"] for c in merged([PAUSED], old, now="T", generation=1)] == ["Paused"]


def test_what_keeps_more_workers_than_are_needed_is_not_told_as_too_few() -> None:
    assert found("ScalingLimited", limited_by="maxReplicas").message.startswith("More workers")
    assert "keeps more workers" in found("ScalingLimited", limited_by="minReplicas").message


@pytest.mark.parametrize("mode", ["Paused", "DryRun"])
def test_who_is_ready_says_whether_the_workers_follow(mode: str) -> None:
    assert "follow it" in found("Ready").message
    assert mode in found("Ready", mode=mode).message
