"""The resource's status: conditions and figures. Pure functions of what a tick found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.sizing.connections import slots_for
from shortlist_operator.reporting.conditions import Situation, conditions, merged

if TYPE_CHECKING:
    from shortlist.domain.sizing.pipeline import ScoringPipeline
    from shortlist.domain.sizing.scaling import ScalingDecision
    from shortlist_operator.kubernetes.kube import Json
    from shortlist_operator.observation import Sight


@dataclass(frozen=True, slots=True)
class Tick:
    """Everything that one tick found out."""

    pipeline: ScoringPipeline | None = None
    sight: Sight | None = None
    decision: ScalingDecision | None = None
    conflict: str | None = None
    target_missing: str | None = None
    invalid: str | None = None
    refused: str | None = None
    failed: str | None = None
    budget: int | None = None


def status_of(resource: Json, tick: Tick, now: str) -> Json:
    """Make the status as it is to be written; ``now`` as Kubernetes writes a time."""
    generation = int(resource["metadata"].get("generation", 0))
    situation = situation_of(tick)
    old = resource.get("status", {}).get("conditions", [])
    written: Json = {
        "observedGeneration": generation,
        "conditions": merged(conditions(situation), old, now=now, generation=generation),
    }
    if situation.looked:
        return written | _figures(tick, situation, now)
    return written | dict.fromkeys(_FIGURES)  # no look was taken: what was there is not so now


def essence(written: Json) -> object:
    """Pick what of a status is worth writing at once when it changes."""
    return (
        written["observedGeneration"],
        [(c["type"], c["status"], c["reason"]) for c in written["conditions"]],
        written.get("replicas"),
        written.get("assignmentEpoch"),
        (written.get("decision") or {}).get("limitedBy"),
        (written.get("connections") or {}).get("budget"),
    )


def situation_of(tick: Tick) -> Situation:
    """Find what the conditions are made of."""
    sight, decision = tick.sight, tick.decision
    errors = sight.errors if sight is not None else {}
    demand = decision.demand if decision is not None else None
    return Situation(
        mode=tick.pipeline.scaling.mode if tick.pipeline is not None else "Auto",
        conflict=tick.conflict,
        target_missing=tick.target_missing,
        invalid=tick.invalid,
        refused=tick.refused,
        failed=tick.failed,
        looked=sight is not None and decision is not None,
        redis_error=errors.get("redis"),
        postgres_error=errors.get("postgres"),
        desired=decision.replicas if decision is not None else 0,
        ready=_ready(sight),
        draining=_draining(sight),
        waiting=demand.waiting if demand is not None else 0,
        in_flight=demand.in_flight if demand is not None else 0,
        limited_by=decision.limited_by if decision is not None else None,
        waiters=waiters(tick),
        budget=tick.budget,
        model_refuses=None if sight is None or sight.line is None else sight.line.refused,
    )


def waiters(tick: Tick) -> int:
    """Count the applications that a worker would hold, if it had a connection for them."""
    if tick.pipeline is None or tick.sight is None or tick.sight.line is None:
        return 0
    spec = tick.pipeline
    lacking = 0
    for member in tick.sight.members:
        if member.worker.pulls and not member.leaving:
            slots = slots_for(
                member.beat.grant,
                overhead=spec.connections.overhead_per_worker,
                concurrency=spec.worker.concurrency,
                mode=spec.connections.mode,
            )
            lacking += spec.worker.concurrency - slots
    return min(lacking, tick.sight.line.reading.waiting)


def _ready(sight: Sight | None) -> int:
    return 0 if sight is None else sum(pod.ready_at is not None for pod in sight.staying)


def _draining(sight: Sight | None) -> int:
    return 0 if sight is None or sight.line is None else len(sight.line.draining)


_FIGURES = ("replicas", "demand", "decision", "connections")


def _figures(tick: Tick, situation: Situation, now: str) -> Json:
    sight, decision = tick.sight, tick.decision
    assert sight is not None
    assert decision is not None
    figures: Json = {
        "replicas": {
            "desired": decision.replicas,
            "current": sight.replicas,
            "ready": situation.ready,
            "draining": situation.draining,
        },
        "demand": None,
        "decision": {
            "at": now,
            "reason": decision.reason,
            "limitedBy": decision.limited_by,
            "inputs": None,
        },
    }
    if (demand := decision.demand) is not None:
        figures["demand"] = {
            "pending": demand.waiting,
            "inFlight": demand.in_flight,
            "arrivalRate": f"{demand.arrival_rate:.2f}",
            "serviceSeconds": f"{demand.service_seconds:.3f}",
            "oldestAgeSeconds": f"{demand.oldest_age_seconds:.1f}",
            "waiters": situation.waiters,
        }
        figures["decision"]["inputs"] = {
            "forecastRate": f"{demand.forecast_rate:.2f}",
            "forecastWaiting": f"{demand.forecast_waiting:.1f}",
            "slots": f"{demand.slots:.2f}",
            "horizonSeconds": f"{demand.horizon_seconds:.1f}",
            "wanted": decision.wanted,
        }
    if sight.line is not None:
        figures["assignmentEpoch"] = max((g.epoch for g in sight.line.grants.values()), default=0)
    if sight.connections is not None:
        granted = sum(m.beat.grant for m in sight.members)
        opened = sum(m.worker.open_connections for m in sight.members)
        figures["connections"] = {
            "max": sight.connections.limits.max_connections,
            "budget": tick.budget,
            "granted": granted,
            "open": opened,
            "summary": f"{opened}/{tick.budget}",
        }
    return figures
