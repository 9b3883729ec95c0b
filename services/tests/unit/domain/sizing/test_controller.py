from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.domain.sizing.controller import DrainChange, PipelineController
from shortlist.domain.sizing.fleet import WorkerReport
from shortlist.domain.sizing.pipeline import (
    ConnectionsSpec,
    ScalingSpec,
    ScoringPipeline,
    WorkerSpec,
)
from shortlist.domain.sizing.scaling import LineReading, Observation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

NOBODY: frozenset[str] = frozenset()
ONLY_A = frozenset({"a"})
NOW = 100.0
PIPELINE = ScoringPipeline(
    worker=WorkerSpec(concurrency=10, drain_timeout_seconds=60),
    scaling=ScalingSpec(max_replicas=4),
    connections=ConnectionsSpec(overhead_per_worker=2),
)


def drain(
    controller: PipelineController,
    workers: Sequence[WorkerReport],
    replicas: int,
    *,
    standing: AbstractSet[str] = NOBODY,
    silent: AbstractSet[str] = NOBODY,
    now: float = NOW,
) -> DrainChange[str]:
    """What is to be done; each worker runs in a pod of its name."""
    return controller.drain(
        {f"pod-{worker.id}": worker for worker in workers},
        replicas,
        PIPELINE,
        reporting={worker.id for worker in workers} - silent,
        standing=standing,
        now=now,
    )


def seen(line: LineReading | None, *, replicas: int = 1, now: float = 0.0) -> Observation:
    workers = tuple(WorkerReport(str(number)) for number in range(replicas))
    return Observation(now=now, replicas=replicas, workers=workers, line=line, budget=1000)


def test_before_the_first_decision_there_is_use_for_what_the_workers_want() -> None:
    assert PipelineController().connections_wanted(PIPELINE, replicas=3) == 3 * (10 + 2)


def test_a_decision_says_what_there_is_use_for_within_maxreplicas() -> None:
    controller = PipelineController()
    controller.decide(seen(LineReading(submissions=5000, waiting=5000)), PIPELINE)
    assert controller.connections_wanted(PIPELINE, replicas=1) == 4 * (10 + 2)
    controller.decide(seen(None, now=1.0), PIPELINE)  # the demand is not known
    assert controller.connections_wanted(PIPELINE, replicas=2) == 2 * (10 + 2)


def test_what_was_decided_is_remembered() -> None:
    controller = PipelineController()
    for look in range(5):
        decision = controller.decide(seen(None, now=float(look)), PIPELINE)
    assert decision is controller.decision
    assert decision.memory.failures == 5


def test_victims_are_told_before_any_of_them_may_go() -> None:
    controller, workers = PipelineController(), [WorkerReport("a"), WorkerReport("b", in_flight=1)]
    change = drain(controller, workers, 1)
    assert (change.changed, change.published, change.drained) == (True, ONLY_A, ONLY_A)
    assert change.removable == ()
    stopped = [WorkerReport("a", draining=True), workers[1]]
    change = drain(controller, stopped, 1, standing={"a"}, now=NOW + 1)
    assert (change.changed, change.drained, change.undrained) == (False, NOBODY, NOBODY)
    assert change.removable == ("pod-a",)


def test_a_victim_that_does_not_get_empty_goes_when_its_time_is_over() -> None:
    controller, workers = PipelineController(), [WorkerReport("a", in_flight=3, draining=True)]
    assert drain(controller, workers, 0, standing={"a"}).removable == ()
    assert drain(controller, workers, 0, standing={"a"}, now=NOW + 59).removable == ()
    assert drain(controller, workers, 0, standing={"a"}, now=NOW + 60).removable == ("pod-a",)


def test_when_demand_returns_victims_go_on() -> None:
    controller = PipelineController()
    workers = [WorkerReport("a", draining=True), WorkerReport("b", in_flight=1)]
    drain(controller, workers, 1)
    change = drain(controller, workers, 2, standing={"a"})
    assert (change.changed, change.published, change.undrained) == (True, NOBODY, ONLY_A)


def test_the_drain_set_of_a_former_controller_is_adopted() -> None:
    """Without it the worker with fewer in flight would be drained as well."""
    workers = [WorkerReport("a", in_flight=5, draining=True), WorkerReport("b", in_flight=2)]
    change = drain(PipelineController(), workers, 1, standing={"a"})
    assert (change.changed, change.published) == (False, ONLY_A)


def test_a_worker_that_never_reported_drains_without_being_published() -> None:
    workers = [WorkerReport("starting", ready=False), WorkerReport("b")]
    change = drain(PipelineController(), workers, 1, silent={"starting"})
    assert (change.changed, change.removable) == (False, ("pod-starting",))


def test_workers_that_are_gone_leave_the_drain_set() -> None:
    change = drain(PipelineController(), [WorkerReport("b")], 1, standing={"gone"})
    assert (change.changed, change.published, change.undrained) == (True, NOBODY, NOBODY)
