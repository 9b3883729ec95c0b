"""Matches pods, as Kubernetes lists them, with workers, by their heartbeats. Pure.

A worker's heartbeat carries its host's name, which in Kubernetes is its pod's.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shortlist.storage.redis import heartbeats

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shortlist.domain.sizing.fleet import WorkerReport
    from shortlist.storage.redis.heartbeats import Heartbeat
    from shortlist.storage.snapshots import LineSnapshot
    from shortlist_operator.kubernetes.kube import Json


DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


@dataclass(frozen=True, slots=True)
class Pod:
    """What matters of a pod. Times are Unix seconds."""

    name: str
    created_at: float
    ready_at: float | None
    terminating: bool
    deletion_cost: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A worker and its pod; ``pod`` is None when the pod is gone and the worker still reports."""

    worker: WorkerReport
    beat: Heartbeat
    pod: Pod | None

    @property
    def leaving(self) -> bool:
        """Its pod is on its way out, or gone."""
        return self.pod is None or self.pod.terminating


def read_pod(pod: Json) -> Pod:
    """Read a pod from the API's object."""
    ready = next(
        (
            condition
            for condition in pod.get("status", {}).get("conditions", [])
            if condition["type"] == "Ready" and condition["status"] == "True"
        ),
        None,
    )
    return Pod(
        name=pod["metadata"]["name"],
        created_at=_seconds(pod["metadata"]["creationTimestamp"]),
        ready_at=None if ready is None else _seconds(ready["lastTransitionTime"]),
        terminating="deletionTimestamp" in pod["metadata"],
        deletion_cost=pod["metadata"].get("annotations", {}).get(DELETION_COST),
    )


def is_over(pod: Json) -> bool:
    """Evicted or finished: it will never work again, and its ReplicaSet has replaced it."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def members(
    snapshot: LineSnapshot, pods: Iterable[Pod], open_by_worker: Mapping[str, int]
) -> list[Member]:
    """List every worker that reports, with its pod.

    And those that fell silent, while anything of them is left: they may hold all that they were
    granted, and are no more than not ready.
    """
    by_name = {pod.name: pod for pod in pods}
    live = {beat.worker_id for beat in snapshot.live}
    found = []
    for beat in sorted(snapshot.beats, key=lambda beat: beat.worker_id):
        pod, opened = by_name.get(beat.host), open_by_worker.get(beat.worker_id, 0)
        worker = heartbeats.as_worker(beat, opened)
        if beat.worker_id in live:
            found.append(Member(worker, beat, pod))
        elif pod is not None or opened:
            found.append(Member(replace(worker, ready=False), beat, pod))
    return found


def _seconds(timestamp: str) -> float:
    return dt.datetime.fromisoformat(timestamp).timestamp()
