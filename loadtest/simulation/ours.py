"""Our policy, driving the simulated cluster as `shortlist up` and the operator drive theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.domain.percentiles import nearest_rank
from shortlist.domain.sizing import fleet, scaling
from shortlist.domain.sizing.controller import PipelineController
from shortlist.domain.sizing.pipeline import (
    ConnectionsSpec,
    ScalingSpec,
    ScoringPipeline,
    SimulatedScorerSpec,
    WorkerSpec,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadtest.simulation.cluster import Cluster, Worker
    from loadtest.simulation.loads import Setup
    from shortlist.domain.sizing.controller import DrainChange

ASSUMED_SERVICE_SECONDS = 1.5
"""What the resource says (its default), whatever the load's truth is: the policy must find out."""

PLENTY_OF_CONNECTIONS = 100_000


def pipeline_for(setup: Setup) -> ScoringPipeline:
    """Make the default resource, but for what the load's setup fixes."""
    return ScoringPipeline(
        worker=WorkerSpec(
            concurrency=setup.concurrency,
            drain_timeout_seconds=int(setup.drain_timeout_seconds),
        ),
        scorer=SimulatedScorerSpec(ASSUMED_SERVICE_SECONDS),
        scaling=ScalingSpec(max_replicas=setup.max_replicas),
        connections=ConnectionsSpec(overhead_per_worker=setup.overhead_per_worker),
    )


class Shortlist:
    """Observe, decide, drain the victims, start the missing: once a second."""

    def __init__(self, pipeline: ScoringPipeline) -> None:
        """Nothing is remembered at the start."""
        self._pipeline = pipeline
        self._controller = PipelineController()

    def tick(self, cluster: Cluster) -> None:
        """One turn of the loop."""
        workers = {worker: _report(worker, cluster.now) for worker in _staying(cluster)}
        decision = self._controller.decide(_observe(cluster, workers), self._pipeline)
        change = self._controller.drain(
            workers,
            decision.replicas,
            self._pipeline,
            reporting={report.id for report in workers.values()},
            standing={report.id for report in workers.values() if report.draining},
            now=cluster.now,
        )
        self._act(cluster, change, decision.replicas)

    def wake(self, cluster: Cluster) -> None:
        """Do nothing: the next turn is soon enough."""

    def connections(self, worker: Worker, setup: Setup) -> int:
        """Return what is granted: k + 1 at first, all when ready, what is in use when draining."""
        overhead = setup.overhead_per_worker
        if not worker.ready:
            return overhead + 1
        if worker.draining or worker.stopping:
            return overhead + worker.in_flight
        return overhead + setup.concurrency

    def _act(self, cluster: Cluster, change: DrainChange[Worker], replicas: int) -> None:
        present = _staying(cluster)
        for worker in present:
            name = str(worker.number)
            if worker in change.removable:
                cluster.stop(worker, grace_seconds=0.0)
            elif name in change.undrained:
                cluster.undrain(worker)
            elif name in change.published:
                cluster.drain(worker)
        for _ in range(replicas - len(present)):
            cluster.start()


def _staying(cluster: Cluster) -> list[Worker]:
    return [worker for worker in cluster.workers if not worker.stopping]


def _report(worker: Worker, now: float) -> fleet.WorkerReport:
    worker.count_busy(now)
    return fleet.WorkerReport(
        id=str(worker.number),
        ready=worker.ready,
        draining=worker.draining,
        in_flight=worker.in_flight,
        busy_seconds=worker.busy_seconds,
        ended=worker.completed,
        started_at=worker.created_at,
    )


def _observe(cluster: Cluster, workers: Mapping[Worker, fleet.WorkerReport]) -> scaling.Observation:
    starts = sorted(cluster.start_times_seconds)
    return scaling.Observation(
        now=cluster.now,
        replicas=len(workers),
        workers=tuple(workers.values()),
        starting_ages_seconds=tuple(
            cluster.now - worker.created_at for worker in workers if not worker.ready
        ),
        line=scaling.LineReading(
            cluster.submitted, len(cluster.waiting), cluster.oldest_age_seconds()
        ),
        budget=PLENTY_OF_CONNECTIONS,
        start_p90_seconds=nearest_rank(starts, 0.9) if starts else None,
    )
