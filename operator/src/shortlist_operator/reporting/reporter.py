"""Tells people what a tick found out: the status when it changed, events, and metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shortlist_operator import metrics
from shortlist_operator.kubernetes.kube import now_text
from shortlist_operator.reporting import status
from shortlist_operator.reporting.conditions import NOT_LOOKED
from shortlist_operator.reporting.events import Events

if TYPE_CHECKING:
    from shortlist_operator.kubernetes.kube import Json, Kube
    from shortlist_operator.reporting.status import Tick

REFRESH_SECONDS = 5.0
"""Figures that only move are written so often; what changes is written at once."""


class Reporter:
    """Writes the status of one resource, and creates its events."""

    def __init__(self, kube: Kube, namespace: str, name: str) -> None:
        """Nothing was written yet."""
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._events = Events(kube, namespace, name)
        self._essence: object = None
        self._written_at = 0.0
        self.note = self._events.note

    async def report(self, resource: Json, tick: Tick, *, acting: bool) -> None:
        """Write what changed; only the operator that acts does."""
        _measure(self._name, tick)
        if not acting:
            self._events.clear()
            return
        written = status.status_of(resource, tick, now_text())
        essence = status.essence(written)
        if essence != self._essence or time.monotonic() - self._written_at >= REFRESH_SECONDS:
            await self._kube.patch_pipeline_status(self._namespace, self._name, written)
            self._note_conditions(resource, written)
            self._essence, self._written_at = essence, time.monotonic()
        await self._events.create(resource)

    def _note_conditions(self, resource: Json, written: Json) -> None:
        """Note what is worth an event when it changes, or is not well from the beginning."""
        well = {"Ready": "True", "ConnectionBudgetExhausted": "False"}
        old = resource.get("status", {}).get("conditions", [])
        before = well | {c["type"]: c["status"] for c in old}
        for condition in written["conditions"]:
            kind, now = condition["type"], condition["status"]
            if kind in well and before[kind] != now and condition["reason"] != NOT_LOOKED:
                bad = (kind == "Ready") == (now != "True")
                self.note("Warning" if bad else "Normal", condition["reason"], condition["message"])


def _measure(name: str, tick: Tick) -> None:
    situation = status.situation_of(tick)
    metrics.DESIRED.labels(name).set(situation.desired)
    metrics.READY.labels(name).set(situation.ready)
    metrics.WAITERS.labels(name).set(situation.waiters)
    if tick.budget is not None:
        metrics.BUDGET.labels(name).set(tick.budget)
    if tick.sight is not None:
        held = sum(max(m.beat.grant, m.worker.open_connections) for m in tick.sight.members)
        metrics.HELD.labels(name).set(held)
