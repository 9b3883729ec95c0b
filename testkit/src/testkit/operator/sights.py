"""What the operator sees, made by hand: pods, heartbeats, and one look at both."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shortlist.domain.sizing.pipeline import ConnectionsSpec
from shortlist.domain.sizing.scaling import LineReading
from shortlist.storage.postgres.queries.connection_limits import ConnectionLimits
from shortlist.storage.redis.heartbeats import STALE_AFTER_SECONDS, Heartbeat
from shortlist.storage.snapshots import ConnectionsSnapshot, LineSnapshot
from shortlist_operator.kubernetes import members
from shortlist_operator.kubernetes.members import Pod
from shortlist_operator.observation import RolloutStrategy, Sight

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shortlist.domain.sizing.grants import Grant

NOW = 1_800_000_000.0
"""Unix seconds of every look."""


def a_pod(name: str, **changes: Any) -> Pod:
    """A pod that is ready."""
    pod = Pod(name=name, created_at=NOW - 60, ready_at=NOW - 55, terminating=False)
    return replace(pod, **changes)


def a_beat(worker_id: str, **changes: Any) -> Heartbeat:
    """A heartbeat of a worker in the pod ``pod-`` and its id, that holds its first grant."""
    beat = Heartbeat(
        worker_id=worker_id,
        at=NOW,
        started_at=NOW - 58,
        ready_at=NOW - 56,
        host=f"pod-{worker_id}",
        pid=1,
        mode="perJob",
        concurrency=10,
        in_flight=0,
        grant=2,
        open_connections=1,
        epoch=0,
        draining=False,
        busy_seconds=0.0,
        completed=0,
        failed=0,
        retried=0,
    )
    return replace(beat, **changes)


def a_line(
    beats: Sequence[Heartbeat] = (), grants: Mapping[str, Grant] | None = None, **changes: Any
) -> LineSnapshot:
    """A look at a line in which nothing waits."""
    look = LineSnapshot(
        reading=LineReading(0, 0),
        beats=tuple(beats),
        grants=dict(grants or {}),
        draining=frozenset(),
        throttled=False,
        stale=frozenset(b.worker_id for b in beats if NOW - b.at > STALE_AFTER_SECONDS),
    )
    return replace(look, **changes)


def postgres(budget: int, opened: Mapping[str, int] | None = None) -> ConnectionsSnapshot:
    """A Postgres that has so many connections besides those that a pipeline reserves for others."""
    limits = ConnectionLimits(budget + ConnectionsSpec().reserved, 0, 0)
    return ConnectionsSnapshot(limits, dict(opened or {}))


def a_sight(
    line: LineSnapshot | None = None,
    connections: ConnectionsSnapshot | None = None,
    pods: Sequence[Pod] | None = None,
    **changes: Any,
) -> Sight:
    """What one look saw; unless given, each worker has its pod, and that is all there are."""
    line = line or a_line()
    seen = [a_pod(beat.host) for beat in line.beats] if pods is None else pods
    opened = connections.open_by_worker if connections is not None else {}
    sight = Sight(
        pods=tuple(seen),
        members=tuple(members.members(line, seen, opened)),
        replicas=len([pod for pod in seen if not pod.terminating]),
        rolling=False,
        strategy=RolloutStrategy(max_surge=1, max_unavailable=0),
        line=line,
        connections=connections,
    )
    return replace(sight, **changes)
