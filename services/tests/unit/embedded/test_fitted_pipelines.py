from __future__ import annotations

import os

import pytest

from shortlist.domain.pipeline import ScalingSpec, ScoringPipeline
from shortlist.embedded.pipelines import WORKERS_PER_CORE, fitted, workers_at_start


def pipeline(least: int = 0, most: int = 30) -> ScoringPipeline:
    return ScoringPipeline(scaling=ScalingSpec(min_replicas=least, max_replicas=most))


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def test_a_file_for_a_cluster_starts_no_more_workers_than_the_cores_can_run() -> None:
    assert fitted(pipeline(most=100), None).scaling.max_replicas == 2 * WORKERS_PER_CORE
    assert fitted(pipeline(most=3), None).scaling.max_replicas == 3


def test_a_least_number_that_is_asked_for_is_kept_whatever_the_cores() -> None:
    assert fitted(pipeline(least=50, most=100), None).scaling.max_replicas == 50


@pytest.mark.parametrize("count", [0, 1, 50])
def test_a_fixed_number_is_that_from_the_start_and_the_policy_pauses(count: int) -> None:
    fixed = fitted(pipeline(least=3, most=5), count)
    assert (workers_at_start(fixed), fixed.scaling.mode) == (count, "Paused")


def test_a_start_knows_no_load_and_is_modest() -> None:
    assert workers_at_start(pipeline()) == 2
    assert workers_at_start(pipeline(most=1)) == 1
    assert workers_at_start(pipeline(least=4)) == 4
