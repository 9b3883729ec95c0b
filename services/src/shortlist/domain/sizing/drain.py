"""Which workers to drain when fewer are needed, so that no score is interrupted.

Victims are put in the pipeline's drain set: they stop pulling, finish what they hold, and are
removed when they are empty, or after the drain time-out. Until then it can be taken back: when
demand returns, they pull again within a heartbeat, which no new worker could.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shortlist.domain.sizing.fleet import WorkerReport

Draining = Mapping[str, float]
"""Victim → since when it drains, in seconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about draining now."""

    draining: Draining
    """The drain set as it should be; pass it back with the next call."""
    removable: frozenset[str]
    """Victims that may be removed now: empty, never begun, or out of time."""


def plan(
    workers: Sequence[WorkerReport],
    replicas: int,
    draining: Draining,
    *,
    now: float,
    timeout_seconds: float,
) -> Plan:
    """Choose victims until ``replicas`` workers are left that do not drain.

    Args:
        workers: all that exist, starting ones too, less those that are being removed.
        replicas: how many of them shall go on working.
        draining: the plan's own answer of last time; after a restart, the set as it stands.
        now: seconds, on the same clock as ``draining``.
        timeout_seconds: how long a victim may take to finish what it holds.
    """
    surplus = max(0, len(workers) - replicas)
    ranked = sorted(workers, key=lambda worker: _rank(worker, draining))
    victims = {worker.id: worker for worker in ranked[:surplus]}
    since = {name: draining.get(name, now) for name in victims}
    removable = frozenset(
        name
        for name, worker in victims.items()
        if _is_settled(worker) or now - since[name] >= timeout_seconds
    )
    return Plan(since, removable)


def _rank(worker: WorkerReport, draining: Draining) -> tuple[bool, bool, int, float, str]:
    """Rank not ready first, as a ReplicaSet does whatever we say; idle; fewest in flight; youngest.

    Which is youngest is judged by their hosts' clocks: of those that are alike any may go. Those
    that drain already come before all that are ready, so that no worker is drained in vain.
    """
    return (
        worker.ready,
        worker.id not in draining,
        worker.in_flight,
        -worker.started_at,
        worker.id,
    )


def _is_settled(worker: WorkerReport) -> bool:
    """Tell if nothing is in flight, or can come: it has said itself that it stopped pulling."""
    return worker.in_flight == 0 and not worker.pulls
