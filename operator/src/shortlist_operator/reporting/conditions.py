"""The conditions of the resource's status: pure functions of what was seen and decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shortlist_operator.kubernetes.kube import Json

ConditionStatus = Literal["True", "False", "Unknown"]
ConditionType = Literal[
    "Ready",
    "Active",
    "MetricsAvailable",
    "ScalingLimited",
    "ConnectionBudgetExhausted",
    "Draining",
    "Paused",
]


NOT_LOOKED = "NotLooked"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, before it is known when it last changed."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What the conditions are made of."""

    mode: str
    conflict: str | None
    """The other controller of the target, if there is one."""
    target_missing: str | None
    """The Deployment that is referred to and not there."""
    invalid: str | None
    """Why the spec cannot be used."""
    refused: str | None
    """Why the workers' Deployment is not as the spec says."""
    failed: str | None
    """What went wrong with looking or acting that will go wrong again."""
    looked: bool
    """Whether anything was looked at: not so without a target, or a spec that can be used."""
    redis_error: str | None
    postgres_error: str | None
    desired: int
    ready: int
    draining: int
    waiting: int
    in_flight: int
    limited_by: str | None
    waiters: int
    budget: int | None
    model_refuses: str | None = None
    """Why the model refuses whatever the pipeline asks."""


def conditions(situation: Situation) -> list[Condition]:
    """List all of them, always, in one order."""
    return [
        _ready(situation),
        _active(situation),
        _metrics(situation),
        _limited(situation),
        _connections(situation),
        _draining(situation),
        _paused(situation),
    ]


def merged(new: Iterable[Condition], old: list[Json], *, now: str, generation: int) -> list[Json]:
    """Format them for the API; ``lastTransitionTime`` moves only when the status does."""
    before = {condition.get("type"): condition for condition in old}
    result = []
    for condition in new:
        previous = before.get(condition.type, {})
        same = previous.get("status") == condition.status
        result.append(
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "observedGeneration": generation,
                "lastTransitionTime": previous.get("lastTransitionTime", now) if same else now,
            }
        )
    return result


def _ready(s: Situation) -> Condition:
    problems = {
        "InvalidSpec": s.invalid,
        "ConflictingScaler": s.conflict
        and f"{s.conflict} sizes the target as well; remove it, and this one goes on.",
        "DeploymentRefused": s.refused
        and f"The workers' Deployment cannot be as the spec says: {s.refused}",
        "TargetMissing": s.target_missing and f"Deployment {s.target_missing} does not exist.",
        "TickFailed": s.failed,
        "LineUnreadable": s.redis_error,
        "ModelRefuses": s.model_refuses
        and f"Nothing is scored until this is mended, and nothing fails meanwhile: "
        f"{s.model_refuses}",
    }
    for reason, message in problems.items():
        if message is not None:
            return Condition("Ready", "False", reason, message)
    follow = "follow it" if s.mode == "Auto" else f"stay as they are: mode {s.mode}"
    return Condition("Ready", "True", "Sizing", f"The line is read, and the workers {follow}.")


def _not_looked(kind: ConditionType) -> Condition:
    return Condition(kind, "Unknown", NOT_LOOKED, "Nothing is looked at: see Ready.")


def _active(s: Situation) -> Condition:
    if not s.looked:
        return _not_looked("Active")
    if s.desired or s.ready:
        message = f"{s.ready} of {s.desired} workers are ready."
        return Condition("Active", "True", "WorkersRun", message)
    return Condition("Active", "False", "ScaledToZero", "Nothing waits, and no worker runs.")


def _metrics(s: Situation) -> Condition:
    if not s.looked:
        return _not_looked("MetricsAvailable")
    problems = [error for error in (s.redis_error, s.postgres_error) if error]
    if problems:
        reason = "RedisUnreadable" if s.redis_error else "PostgresUnreadable"
        return Condition("MetricsAvailable", "False", reason, "; ".join(problems))
    message = "The line, the heartbeats and Postgres's connections are read each second."
    return Condition("MetricsAvailable", "True", "AllRead", message)


_LIMITS = {
    "minReplicas": "minReplicas keeps more workers than are needed.",
    "metrics": "The line cannot be read.",
    "pauseScaleIn": "pauseScaleIn keeps more workers than are needed.",
    "dryRun": "In a dry run the workers stay as they are.",
    "paused": "While it is paused the workers stay as they are.",
}


def _limited(s: Situation) -> Condition:
    if not s.looked:
        return _not_looked("ScalingLimited")
    if s.limited_by is None:
        return Condition("ScalingLimited", "False", "NotLimited", "As many workers as needed.")
    reason = "LimitedBy" + s.limited_by[0].upper() + s.limited_by[1:]
    message = _LIMITS.get(s.limited_by, f"More workers are needed than {s.limited_by} allows.")
    return Condition("ScalingLimited", "True", reason, message)


def _connections(s: Situation) -> Condition:
    if not s.looked:
        return _not_looked("ConnectionBudgetExhausted")
    if s.budget is None:
        message = "Postgres does not say how many connections it has; grants stay as they are."
        return Condition("ConnectionBudgetExhausted", "Unknown", "PostgresUnreadable", message)
    if s.waiters or s.limited_by == "connections":
        message = (
            f"The budget is {s.budget} connections; "
            f"{s.waiters} more applications could be in flight with more."
        )
        return Condition("ConnectionBudgetExhausted", "True", "NotEnoughConnections", message)
    message = f"The budget of {s.budget} connections is enough."
    return Condition("ConnectionBudgetExhausted", "False", "Enough", message)


def _draining(s: Situation) -> Condition:
    if s.draining:
        message = f"{s.draining} workers finish what they hold, and go."
        return Condition("Draining", "True", "ScalingIn", message)
    return Condition("Draining", "False", "NobodyDrains", "No worker is on its way out.")


def _paused(s: Situation) -> Condition:
    if s.mode == "Paused":
        return Condition("Paused", "True", "ModePaused", "spec.scaling.mode is Paused.")
    if s.mode == "DryRun":
        message = "spec.scaling.mode is DryRun: it decides, and changes nothing."
        return Condition("Paused", "True", "ModeDryRun", message)
    return Condition("Paused", "False", "ModeAuto", "spec.scaling.mode is Auto.")
