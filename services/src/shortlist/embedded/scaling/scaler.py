"""Sizes the local workers by the scaling policy: decide, drain, grant, start.

See "The steps of a second" in ``docs/autoscaling.md``; the operator does the same with pods.
It must never start a worker that there are no connections for, or let one go that has not been
emptied first; and while the line cannot be read it lets none go.
"""

from __future__ import annotations

import math
import socket
import time
from typing import TYPE_CHECKING

from shortlist.domain.sizing import scaling
from shortlist.domain.sizing.controller import PipelineController
from shortlist.domain.sizing.fleet import StartTimes, WorkerReport
from shortlist.runtime.machine import cores
from shortlist.storage.redis import heartbeats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from shortlist.domain.line.application import PipelineName
    from shortlist.domain.sizing.controller import DrainChange
    from shortlist.domain.sizing.scaling import ScalingDecision
    from shortlist.embedded.scaling.observer import Observer
    from shortlist.embedded.scaling.sizing import Sizing
    from shortlist.embedded.supervision.child import Child
    from shortlist.embedded.supervision.worker_group import WorkerGroup
    from shortlist.storage.redis.heartbeats import Heartbeat
    from shortlist.storage.snapshots import LineSnapshot

START_SECONDS = 2.0
"""How long a worker takes to start, until the first was seen: 0.7 s of a core for Python and its
imports, more where ingest wants that core too. The policy's own 8 s are a pod's."""

STARTS_PER_CORE = 2
"""Workers of a pipeline that may be starting at once. A start keeps a core busy; with more of them
side by side the first would be ready later, and the last no earlier. One would be too few: on a
slow machine the first two starts would take so long that a third seems to be of no use."""

_EARLY_SECONDS = 0.05
"""A look so much before its time is in time."""


class Scaler:
    """All pipelines of one `shortlist up`: they share the connections."""

    def __init__(
        self,
        observer: Observer,
        sizing: Sizing,
        groups: Mapping[PipelineName, WorkerGroup],
        report: Callable[[str], None],
    ) -> None:
        """``report`` gets a sentence for each change."""
        self._sizing = sizing
        self._pipelines = {
            name: _Pipeline(group, observer, report) for name, group in groups.items()
        }

    @property
    def decisions(self) -> dict[PipelineName, ScalingDecision]:
        """What was decided last."""
        found = {name: pipeline.decision for name, pipeline in self._pipelines.items()}
        return {name: decision for name, decision in found.items() if decision is not None}

    @property
    def scaled_to_zero(self) -> list[PipelineName]:
        """Pipelines scaled to zero: the next application starts a worker."""
        return [name for name, pipeline in self._pipelines.items() if pipeline.is_scaled_to_zero]

    async def tick(self) -> None:
        """Act on what the observer saw. Raises what Redis refuses with; the next tick goes on."""
        pipelines = self._pipelines.values()
        for pipeline in pipelines:
            pipeline.see()
        budgets = self._sizing.split({n: p.wants_connections() for n, p in self._pipelines.items()})
        for name, pipeline in self._pipelines.items():
            pipeline.decide_when_due(budgets[name])
        for pipeline in pipelines:
            await pipeline.drain()
        free = await self._sizing.publish(expected=sum(p.first * p.startable for p in pipelines))
        for pipeline in pipelines:
            free -= pipeline.first * pipeline.start(free // pipeline.first)


class _Pipeline:
    """One pipeline's workers, and what is remembered of it between observations."""

    def __init__(
        self, group: WorkerGroup, observer: Observer, report: Callable[[str], None]
    ) -> None:
        self._group = group
        self._spec = group.pipeline
        self._observer = observer
        self._report = report
        self._snapshot: LineSnapshot | None = None
        self._workers: dict[Child, WorkerReport] = {}
        self._controller = PipelineController()
        self._starts = StartTimes()
        self._decided_at = -math.inf
        self.first = group.pipeline.connections.first_grant

    @property
    def decision(self) -> ScalingDecision | None:
        """What was decided last."""
        return self._controller.decision

    @property
    def is_scaled_to_zero(self) -> bool:
        """Whether it is scaled to zero, without a worker, and the policy may change that."""
        if self.decision is None or self._spec.scaling.mode != "Auto":
            return False
        return not (self.decision.replicas or self._group.children)

    @property
    def _wanted(self) -> int:
        return len(self._group.children) if self.decision is None else self.decision.wanted

    @property
    def startable(self) -> int:
        """Workers that are missing and may start now, if there are connections."""
        if self.decision is None:
            return 0
        missing = self.decision.replicas - len(self._group.children)
        at_once = STARTS_PER_CORE * cores()
        return max(0, min(missing, at_once - len(self._starting())))

    def wants_connections(self) -> int:
        """Return what it has use for, by its last decision."""
        return self._controller.connections_wanted(self._spec, len(self._group.children))

    def see(self) -> None:
        """Update the workers' state; as last known while Redis cannot be read."""
        observer = self._observer
        known = observer.lines.get(self._spec.name)
        self._snapshot = known if self._spec.name in observer.seen else None
        beats = {} if known is None else _beats_of(self._group.children, known)
        self._workers = {
            child: heartbeats.as_worker(beat, observer.counted(beat.worker_id))
            for child, beat in beats.items()
        }
        self._starts.see(  # one host has one monotonic clock
            {b.worker_id: b.ready_monotonic - c.started_at for c, b in beats.items()}
        )

    def decide_when_due(self, budget: int | None) -> None:
        """Ask the policy each ``intervalSeconds``, and at once while scaled to zero."""
        now = time.monotonic()
        is_early = now - self._decided_at < self._spec.scaling.interval_seconds - _EARLY_SECONDS
        if is_early and not self.is_scaled_to_zero:
            return
        observation = scaling.Observation(
            now=now,
            replicas=len(self._group.children),
            workers=tuple(self._workers.values()),
            starting_ages_seconds=tuple(now - child.started_at for child in self._starting()),
            line=None if self._snapshot is None else self._snapshot.reading,
            budget=budget,
            start_p90_seconds=self._starts.p90_seconds() or START_SECONDS,
            throttled=self._snapshot is not None and self._snapshot.throttled,
        )
        wanted_before = self._wanted
        decision = self._controller.decide(observation, self._spec)
        if decision.limited_by == "dryRun" and decision.wanted != wanted_before:
            self._report(f"{self._spec.name}: {decision.reason}.")
        self._decided_at = now

    async def drain(self) -> None:
        """Keep the drain set as it should be, and end drained workers."""
        if self.decision is None or self._snapshot is None or self._spec.scaling.mode == "DryRun":
            return  # no worker is let go blindly; those that drain go on
        change = self._controller.drain(
            {
                child: self._workers.get(child) or _not_ready(child)
                for child in self._group.children
            },
            self.decision.replicas,
            self._spec,
            reporting={worker.id for worker in self._workers.values()},
            standing=self._snapshot.draining,
            now=time.monotonic(),
        )
        await self._publish(change)
        self._let_go(change.removable)

    def start(self, room: int) -> int:
        """Start the missing workers, as far as there is room; return how many."""
        count = min(self.startable, room)
        if count > 0:
            before = len(self._group.children)
            self._group.start(count)
            self._report_size(before)
        return count

    def _starting(self) -> list[Child]:
        return [child for child in self._group.children if child not in self._workers]

    async def _publish(self, change: DrainChange[Child]) -> None:
        if not change.changed:
            return
        await heartbeats.set_draining(self._observer.redis, self._spec.name, change.published)
        if change.drained:
            self._report(f"{self._spec.name}: draining {_workers(len(change.drained))}.")
        if change.undrained:
            self._report(
                f"{self._spec.name}: no longer draining {_workers(len(change.undrained))}."
            )

    def _let_go(self, children: Iterable[Child]) -> None:
        before = len(self._group.children)
        for child in children:
            self._group.stop(child)
        if len(self._group.children) < before:
            self._report_size(before)

    def _report_size(self, before: int) -> None:
        assert self.decision is not None
        now = _workers(len(self._group.children))
        self._report(f"{self._spec.name}: {before} → {now}: {self.decision.reason}.")


def _beats_of(children: Iterable[Child], snapshot: LineSnapshot) -> dict[Child, Heartbeat]:
    """Find the heartbeat of each child that reports."""
    here = socket.gethostname()
    beats = sorted(snapshot.live, key=lambda beat: beat.at)  # the newest has the pid
    by_pid = {beat.pid: beat for beat in beats if beat.host == here}
    return {child: by_pid[child.pid] for child in children if child.pid in by_pid}


def _not_ready(child: Child) -> WorkerReport:
    return WorkerReport(id=f"process/{child.name}", ready=False, started_at=child.started_at)


def _workers(count: int) -> str:
    return f"{count} worker" if count == 1 else f"{count} workers"
