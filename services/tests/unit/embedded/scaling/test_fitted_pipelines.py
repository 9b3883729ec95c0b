from __future__ import annotations

from dataclasses import replace

import pytest

from shortlist.domain.line.application import PipelineName
from shortlist.domain.sizing.pipeline import ScalingSpec, ScoringPipeline
from shortlist.embedded.scaling import pipelines
from shortlist.embedded.scaling.machine import SERVERS_BYTES, WORKER_BYTES, Machine
from shortlist.embedded.scaling.pipelines import (
    WORKERS_PER_CORE,
    fitted,
    memory_bound,
    pipeline_of_settings,
    workers_at_start,
)
from shortlist.settings import Settings

ROOMY = Machine(cores=2, memory_bytes=2**40, files=20_000)


def small(workers: int) -> Machine:
    """A machine with memory for so many workers."""
    return replace(ROOMY, memory_bytes=SERVERS_BYTES + workers * WORKER_BYTES)


def pipeline(least: int = 0, most: int = 30) -> ScoringPipeline:
    return ScoringPipeline(scaling=ScalingSpec(min_replicas=least, max_replicas=most))


def test_a_file_for_a_cluster_starts_no_more_workers_than_the_cores_can_run() -> None:
    assert fitted(pipeline(most=100), None, ROOMY).scaling.max_replicas == 2 * WORKERS_PER_CORE
    assert fitted(pipeline(most=3), None, ROOMY).scaling.max_replicas == 3


def test_a_least_number_that_is_asked_for_is_kept_whatever_the_cores() -> None:
    assert fitted(pipeline(least=50, most=100), None, ROOMY).scaling.max_replicas == 50


@pytest.mark.parametrize("count", [0, 1, 50])
def test_a_fixed_number_is_that_from_the_start_and_the_policy_pauses(count: int) -> None:
    fixed = fitted(pipeline(least=3, most=5), count, ROOMY)
    assert (workers_at_start(fixed), fixed.scaling.mode) == (count, "Paused")


def test_a_start_knows_no_load_and_is_modest() -> None:
    assert workers_at_start(pipeline()) == 2
    assert workers_at_start(pipeline(most=1)) == 1
    assert workers_at_start(pipeline(least=4)) == 4


@pytest.mark.parametrize(
    ("asked", "workers"), [(pipeline(), None), (pipeline(least=9), None), (pipeline(), 9)]
)
def test_memory_bounds_every_number_of_workers(asked: ScoringPipeline, workers: int | None) -> None:
    bounded = fitted(asked, workers, small(3))
    assert bounded.scaling.max_replicas == 3
    assert bounded.scaling.min_replicas <= 3
    assert workers_at_start(bounded) <= 3
    said = memory_bound({asked.name: asked}, workers, small(3))
    assert said is not None
    assert "At most 3 of" in said
    assert "limited by memory" in said
    assert memory_bound({asked.name: asked}, workers, ROOMY) is None


def test_off_switch_without_a_bound_by_memory_there_is_no_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Machine, "workers_in_memory", 10**6)
    assert fitted(pipeline(), None, small(3)).scaling.max_replicas == 2 * WORKERS_PER_CORE


def test_there_is_always_one_worker_and_pipelines_share_the_memory() -> None:
    assert fitted(pipeline(), None, replace(ROOMY, memory_bytes=1)).scaling.max_replicas == 1
    assert fitted(pipeline(), None, small(9), pipelines=3).scaling.max_replicas == 3
    two = {PipelineName(name): replace(pipeline(), name=PipelineName(name)) for name in "ab"}
    assert "of each pipeline" in str(memory_bound(two, None, small(4)))


def test_the_pipeline_that_nobody_described_can_use_the_machine() -> None:
    ours = pipeline_of_settings(Settings())
    assert ours.worker.concurrency == pipelines.SIMULATED_CONCURRENCY
    assert ours.connections.mode == "perWrite"
    said = pipeline_of_settings(Settings(concurrency=10, connection_mode="perJob"))
    assert (said.worker.concurrency, said.connections.mode) == (10, "perJob")
    model = pipeline_of_settings(Settings(scorer="claude", anthropic_api_key="k"))
    assert (model.worker.concurrency, model.connections.mode) == (10, "perJob")
