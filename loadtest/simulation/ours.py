"""Our policy, driving the simulated cluster as `shortlist up` and the operator drive theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.domain.percentiles import nearest_rank
from shortlist.domain.sizing import drain, fleet, scaling
from shortlist.domain.sizing.pipeline import (
    ConnectionsSpec,
    ScalingSpec,
    ScoringPipeline,
    SimulatedScorer,
    WorkerSpec,
)

if TYPE_CHECKING:
    from loadtest.simulation.cluster import Cluster, Worker
    from loadtest.simulation.loads import Setup

ASSUMED_SERVICE_SECONDS = 1.5
"""What the resource says (its default), whatever the load's truth is: the policy must find out."""

PLENTY_OF_CONNECTIONS = 100_000


def pipeline_for(setup: Setup) -> ScoringPipeline:
    """The default resource, but for what the load's setup fixes."""
    return ScoringPipeline(
        worker=WorkerSpec(
            concurrency=setup.concurrency,
            drain_timeout_seconds=int(setup.drain_timeout_seconds),
        ),
        scorer=SimulatedScorer(ASSUMED_SERVICE_SECONDS),
        scaling=ScalingSpec(max_replicas=setup.max_replicas),
        connections=ConnectionsSpec(overhead_per_worker=setup.overhead_per_worker),
    )


class Shortlist:
    """Observe, decide, drain the victims, start the missing: once a second."""

    def __init__(self, pipeline: ScoringPipeline) -> None:
        """Nothing is remembered at the start."""
        self._pipeline = pipeline
        self._memory = scaling.Memory()
        self._draining: drain.Draining = {}

    def tick(self, cluster: Cluster) -> None:
        """One turn of the loop."""
        workers = [worker for worker in cluster.workers if not worker.stopping]
        reports = tuple(_report(worker, cluster.now) for worker in workers)
        decision = scaling.decide(_observe(cluster, workers, reports), self._pipeline, self._memory)
        self._memory = decision.memory
        plan = drain.plan(
            reports,
            decision.replicas,
            self._draining,
            now=cluster.now,
            timeout_seconds=cluster.setup.drain_timeout_seconds,
        )
        self._draining = plan.draining
        self._act(cluster, workers, plan, decision.replicas)

    def wake(self, cluster: Cluster) -> None:
        """The next turn is soon enough."""

    def connections(self, worker: Worker, setup: Setup) -> int:
        """What is granted: k + 1 to begin with, all when ready, what is in use when draining."""
        overhead = setup.overhead_per_worker
        if not worker.ready:
            return overhead + 1
        if worker.draining or worker.stopping:
            return overhead + worker.in_flight
        return overhead + setup.concurrency

    def _act(
        self, cluster: Cluster, workers: list[Worker], plan: drain.Plan, replicas: int
    ) -> None:
        for worker in workers:
            name = str(worker.number)
            if name in plan.removable:
                cluster.stop(worker, grace_seconds=0.0)
            elif worker.draining and name not in plan.draining:
                cluster.undrain(worker)
            elif name in plan.draining:
                cluster.drain(worker)
        for _ in range(replicas - len(workers)):
            cluster.start()


def _report(worker: Worker, now: float) -> fleet.Worker:
    worker.count_busy(now)
    return fleet.Worker(
        id=str(worker.number),
        ready=worker.ready,
        draining=worker.draining,
        in_flight=worker.in_flight,
        busy_seconds=worker.busy_seconds,
        ended=worker.completed,
        started_at=worker.created_at,
    )


def _observe(
    cluster: Cluster, workers: list[Worker], reports: tuple[fleet.Worker, ...]
) -> scaling.Observation:
    starts = sorted(cluster.start_times_seconds)
    return scaling.Observation(
        now=cluster.now,
        replicas=len(workers),
        workers=reports,
        starting_ages_seconds=tuple(
            cluster.now - worker.created_at for worker in workers if not worker.ready
        ),
        line=scaling.LineReading(
            cluster.submitted, len(cluster.waiting), cluster.oldest_age_seconds()
        ),
        budget=PLENTY_OF_CONNECTIONS,
        start_p90_seconds=nearest_rank(starts, 0.9) if starts else None,
    )
