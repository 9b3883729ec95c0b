"""What `shortlist up` and the operator do alike for one pipeline, whatever their workers run in.

They observe, ask it, and act: where one has processes, the other has pods, and
``loadtest.simulation`` has simulated workers. It decides how many workers there shall be, for how
many connections there is use, which workers drain, and which of these may go.

It must never let a worker go that was not emptied first, as far as the drain time-out allows it;
that is `drain`. A controller that was killed begins anew, and finds the drain set in Redis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from shortlist.domain.sizing import drain, scaling
from shortlist.domain.sizing.connections import connections_wanted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from shortlist.domain.sizing.fleet import WorkerReport
    from shortlist.domain.sizing.pipeline import ScoringPipeline

Place = TypeVar("Place")
"""What a worker runs in: a pod's name, a process."""


@dataclass(frozen=True, slots=True)
class DrainChange(Generic[Place]):
    """What to do about draining now: publish first, then remove."""

    published: frozenset[str]
    """The drain set as the workers that report shall read it, by worker id."""
    drained: frozenset[str]
    """Workers that are told to drain, and were not before."""
    undrained: frozenset[str]
    """Workers that are told to go on, and drained before."""
    changed: bool
    """Whether what is published is another set than the one that stands."""
    removable: tuple[Place, ...]
    """Where workers run that may be removed now: empty, never begun, or out of time."""


class PipelineController:
    """Sizes one pipeline, from one observation to the next."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.decision: scaling.ScalingDecision | None = None
        """What was decided last; None before the first time."""
        self._memory = scaling.ScalingMemory()
        self._draining: drain.Draining | None = None

    def connections_wanted(self, pipeline: ScoringPipeline, replicas: int) -> int:
        """Count the connections that the pipeline has use for, by its last decision.

        Args:
            pipeline: as it is now.
            replicas: workers that there are; what counts while the demand is not known.
        """
        workers = replicas
        if self.decision is not None and self.decision.demand is not None:
            needed = math.ceil(self.decision.demand.slots / pipeline.worker.concurrency)
            workers = pipeline.allowed_workers(needed)
        return workers * connections_wanted(
            concurrency=pipeline.worker.concurrency,
            overhead=pipeline.connections.overhead_per_worker,
            mode=pipeline.connections.mode,
        )

    def decide(
        self, observation: scaling.Observation, pipeline: ScoringPipeline
    ) -> scaling.ScalingDecision:
        """Decide how many workers there shall be: see `scaling.decide`."""
        self.decision = scaling.decide(observation, pipeline, self._memory)
        self._memory = self.decision.memory
        return self.decision

    def drain(
        self,
        workers: Mapping[Place, WorkerReport],
        replicas: int,
        pipeline: ScoringPipeline,
        *,
        reporting: AbstractSet[str],
        standing: AbstractSet[str],
        now: float,
    ) -> DrainChange[Place]:
        """Choose who drains so that ``replicas`` workers go on, and who of them may go.

        Args:
            workers: all that exist, less those that are being removed, by what each runs in.
            replicas: how many of them shall go on working.
            pipeline: as it is now.
            reporting: ids of the workers that have ever reported: only they read the drain set.
            standing: the drain set as it stands in Redis. The first time, those who drain by it
                are taken for victims since ``now``: a former controller chose them.
            now: seconds on any clock that only goes forward.
        """
        if self._draining is None:
            self._draining = dict.fromkeys(standing, now)
        plan = drain.plan(
            list(workers.values()),
            replicas,
            self._draining,
            now=now,
            timeout_seconds=pipeline.worker.drain_timeout_seconds,
        )
        self._draining = plan.draining
        published = frozenset(plan.draining) & reporting
        return DrainChange(
            published=published,
            drained=published - standing,
            undrained=frozenset(reporting & standing) - published,
            changed=published != standing,
            removable=tuple(at for at, worker in workers.items() if worker.id in plan.removable),
        )
