"""Tells people: the resource's status, and events that say why."""

from __future__ import annotations

import datetime as dt
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from shortlist.domain.sizing.connections import slots_for
from shortlist_operator import metrics, status
from shortlist_operator.kube import KubeError

if TYPE_CHECKING:
    from shortlist.domain.sizing.pipeline import ScoringPipeline
    from shortlist.domain.sizing.scaling import Decision
    from shortlist_operator.kube import Json, Kube
    from shortlist_operator.observation import Sight

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 5.0
"""Figures that only move are written so often; what changes is written at once."""

_COMPONENT = "shortlist-operator"
_NOTES_KEPT = 100
_PASSING = 500
"""From this status on, and with none at all, a call may succeed when it is made again."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Everything that one tick found out."""

    pipeline: ScoringPipeline | None = None
    sight: Sight | None = None
    decision: Decision | None = None
    conflict: str | None = None
    target_missing: str | None = None
    invalid: str | None = None
    refused: str | None = None
    failed: str | None = None
    budget: int | None = None


class Reporter:
    """Writes the status when it changed, and each event once."""

    def __init__(self, kube: Kube, namespace: str, name: str) -> None:
        """Of one resource."""
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._notes: deque[tuple[str, str, str]] = deque(maxlen=_NOTES_KEPT)
        self._essence: object = None
        self._written_at = 0.0

    def note(self, kind: str, reason: str, message: str) -> None:
        """To be said as an event (``Normal`` or ``Warning``)."""
        self._notes.append((kind, reason, message))
        log.info("event", pipeline=self._name, reason=reason, message=message)

    async def tell(self, resource: Json, tick: Tick, *, acting: bool) -> None:
        """Write what changed; only the operator that acts does."""
        _measure(self._name, tick)
        if not acting:
            self._notes.clear()
            return
        written = self._status(resource, tick)
        essence = _essence(written)
        if essence != self._essence or time.monotonic() - self._written_at >= REFRESH_SECONDS:
            await self._kube.patch_pipeline_status(self._namespace, self._name, written)
            self._note_conditions(resource, written)
            self._essence, self._written_at = essence, time.monotonic()
        while self._notes:
            await self._say(_event(resource, *self._notes[0]))
            self._notes.popleft()

    async def _say(self, event: Json) -> None:
        try:
            await self._kube.create_event(self._namespace, event)
        except KubeError as error:
            if not error.status or error.status >= _PASSING:
                raise  # it is said in the next tick
            log.warning("event_refused", pipeline=self._name, error=str(error))

    def _note_conditions(self, resource: Json, written: Json) -> None:
        """What is worth an event when it changes, or is not well from the beginning."""
        well = {"Ready": "True", "ConnectionBudgetExhausted": "False"}
        old = resource.get("status", {}).get("conditions", [])
        before = well | {c["type"]: c["status"] for c in old}
        for condition in written["conditions"]:
            kind, now = condition["type"], condition["status"]
            if kind in well and before[kind] != now and condition["reason"] != status.NOT_LOOKED:
                bad = (kind == "Ready") == (now != "True")
                self.note("Warning" if bad else "Normal", condition["reason"], condition["message"])

    def _status(self, resource: Json, tick: Tick) -> Json:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        generation = int(resource["metadata"].get("generation", 0))
        situation = _situation(tick)
        old = resource.get("status", {}).get("conditions", [])
        written: Json = {
            "observedGeneration": generation,
            "conditions": status.merged(
                status.conditions(situation), old, now=now, generation=generation
            ),
        }
        if situation.looked:
            return written | _figures(tick, situation, now)
        return written | dict.fromkeys(_FIGURES)  # no look was taken: what was there is not so now


def _situation(tick: Tick) -> status.Situation:
    sight, decision = tick.sight, tick.decision
    errors = sight.errors if sight is not None else {}
    demand = decision.demand if decision is not None else None
    return status.Situation(
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


_FIGURES = ("replicas", "demand", "decision", "connections")


def _figures(tick: Tick, situation: status.Situation, now: str) -> Json:
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


def waiters(tick: Tick) -> int:
    """Applications that wait, and that a worker would hold if it had a connection for them."""
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


def _essence(written: Json) -> object:
    """What of a status is worth writing at once when it changes."""
    return (
        written["observedGeneration"],
        [(c["type"], c["status"], c["reason"]) for c in written["conditions"]],
        written.get("replicas"),
        written.get("assignmentEpoch"),
        (written.get("decision") or {}).get("limitedBy"),
        (written.get("connections") or {}).get("budget"),
    )


def _measure(name: str, tick: Tick) -> None:
    situation = _situation(tick)
    metrics.DESIRED.labels(name).set(situation.desired)
    metrics.READY.labels(name).set(situation.ready)
    metrics.WAITERS.labels(name).set(situation.waiters)
    if tick.budget is not None:
        metrics.BUDGET.labels(name).set(tick.budget)
    if tick.sight is not None:
        held = sum(max(m.beat.grant, m.worker.open_connections) for m in tick.sight.members)
        metrics.HELD.labels(name).set(held)


def _event(resource: Json, kind: str, reason: str, message: str) -> Json:
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    metadata = resource["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{uuid4().hex[:12]}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": resource["apiVersion"],
            "kind": resource["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": kind,
        "reason": reason,
        "message": message[:1024],
        "source": {"component": _COMPONENT},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
