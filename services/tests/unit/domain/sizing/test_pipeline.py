from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shortlist.domain.sizing.pipeline import (
    ClaudeScorerSpec,
    ConnectionsSpec,
    InvalidPipelineError,
    KeyReference,
    Reference,
    ScalingSpec,
    ScoringPipeline,
    SimulatedScorerSpec,
    WorkerSpec,
    parse_pipeline,
)

HEADROOM = r"^[0-9]{1,3}(\.[0-9]{1,3})?$"


def document(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "shortlist.dev/v1alpha1",
        "kind": "ScoringPipeline",
        "metadata": {"name": "default", "labels": {"anything": "goes"}},
        "spec": {"workerRef": {"name": "shortlist-worker"}, **spec},
    }


def problems_of(a_document: Any) -> list[str]:
    with pytest.raises(InvalidPipelineError) as caught:
        parse_pipeline(a_document)
    return caught.value.problems


def test_the_documented_defaults_hold_for_a_document_that_says_nothing() -> None:
    pipeline = parse_pipeline(document())
    assert pipeline == ScoringPipeline(worker_ref=Reference("shortlist-worker"))
    assert pipeline.worker.concurrency == 10
    assert pipeline.scaling.beta == 1.0
    assert pipeline.scorer == SimulatedScorerSpec(1.5, 0.0)


def test_every_documented_field_is_read() -> None:
    pipeline = parse_pipeline(
        document(
            worker={"concurrency": 5, "drainTimeoutSeconds": 30},
            scorer={
                "kind": "claude", "model": "m", "rubricRef": {"name": "r"},
                "secretRef": {"name": "s", "key": "k"}, "requestsPerMinute": 50,
                "tokensPerMinute": 40_000,
            },
            line={"capacity": 7},
            scaling={
                "minReplicas": 1, "maxReplicas": 4, "intervalSeconds": 2, "drainTargetSeconds": 8,
                "headroom": "0.5", "downWindowSeconds": 10, "idleSeconds": 20, "mode": "DryRun",
                "pauseScaleIn": True,
            },
            connections={
                "mode": "perWrite", "overheadPerWorker": 2, "reserved": 3, "maxInFlight": None,
            },
            fallback={"failureThreshold": 1, "replicas": 0},
        )
    )  # fmt: skip
    assert pipeline.scorer == ClaudeScorerSpec(
        "m", KeyReference("r"), KeyReference("s", "k"), 50, 40_000
    )
    assert (pipeline.worker.concurrency, pipeline.worker.drain_timeout_seconds) == (5, 30)
    assert pipeline.line.capacity == 7
    assert (pipeline.scaling.min_replicas, pipeline.scaling.beta) == (1, 0.5)
    assert (pipeline.scaling.mode, pipeline.scaling.pause_scale_in) == ("DryRun", True)
    assert (pipeline.connections.mode, pipeline.connections.max_in_flight) == ("perWrite", None)
    assert (pipeline.fallback.failure_threshold, pipeline.fallback.replicas) == (1, 0)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (
            {"worker": {"concurrency": 0}},
            "spec.worker.concurrency: must be a whole number from 1 to 10000, is 0",
        ),
        (
            {"worker": {"concurrency": True}},
            "spec.worker.concurrency: must be a whole number from 1 to 10000, is True",
        ),
        (
            {"worker": {"concurrency": "10"}},
            "spec.worker.concurrency: must be a whole number from 1 to 10000, is '10'",
        ),
        (
            {"worker": {"drainTimeoutSeconds": 4}},
            "spec.worker.drainTimeoutSeconds: must be a whole number from 5 to 86400, is 4",
        ),
        ({"worker": []}, "spec.worker: must be an object, is []"),
        (
            {"scorer": {"kind": "oracle"}},
            "spec.scorer.kind: must be claude or simulated, is 'oracle'",
        ),
        (
            {"scorer": {"serviceSeconds": -1}},
            "spec.scorer.serviceSeconds: must be a number of at least 0, is -1",
        ),
        (
            {"scorer": {"serviceSeconds": float("nan")}},
            "spec.scorer.serviceSeconds: must be a number of at least 0, is nan",
        ),
        (
            {"scorer": {"serviceSeconds": float("inf")}},
            "spec.scorer.serviceSeconds: must be a number of at least 0, is inf",
        ),
        (
            {"scaling": {"headroom": "1.0\n"}},
            rf"spec.scaling.headroom: must be a string that matches {HEADROOM}, is '1.0\n'",
        ),
        ({"scorer": []}, "spec.scorer: must be an object, is []"),
        (
            {"scorer": {"kind": "claude", "model": ""}},
            "spec.scorer.model: must be a string that is not empty, is ''",
        ),
        ({"scorer": {"model": "m"}}, "spec.scorer.model: is no field here"),
        (
            {"line": {"capacity": 0}},
            "spec.line.capacity: must be a whole number from 1 to 2147483647, is 0",
        ),
        (
            {"scaling": {"minReplicas": 5, "maxReplicas": 4}},
            "spec.scaling: minReplicas (5) is more than maxReplicas (4)",
        ),
        (
            {"scaling": {"minReplica": 5}},
            "spec.scaling.minReplica: is no field here; did you mean minReplicas?",
        ),
        (
            {"scaling": {"headroom": "much"}},
            f"spec.scaling.headroom: must be a string that matches {HEADROOM}, is 'much'",
        ),
        (
            {"worker": {"concurrency": 10_001}},
            "spec.worker.concurrency: must be a whole number from 1 to 10000, is 10001",
        ),
        (
            {"scaling": {"drainTargetSeconds": 0}},
            "spec.scaling.drainTargetSeconds: must be a number of at least 0.1, is 0",
        ),
        (
            {"scaling": {"pauseScaleIn": "no"}},
            "spec.scaling.pauseScaleIn: must be true or false, is 'no'",
        ),
        (
            {"connections": {"mode": "perHour"}},
            "spec.connections.mode: must be perJob or perWrite, is 'perHour'",
        ),
        (
            {"connections": {"overheadPerWorker": 0}},
            "spec.connections.overheadPerWorker: must be a whole number from 1 to 1000, is 0",
        ),
        (
            {"connections": {"maxInFlight": 0}},
            "spec.connections.maxInFlight: must be a whole number of at least 1, is 0",
        ),
        (
            {"workerRef": None},
            "spec: has neither workerRef nor worker.template; exactly one is needed",
        ),
        (
            {"worker": {"template": {"image": "i"}}},
            "spec: has both workerRef and worker.template; exactly one is needed",
        ),
        (
            {"workerRef": {"name": ""}},
            "spec.workerRef.name: must be a string of 1 to 253 characters, is ''",
        ),
        (
            {"workerRef": None, "worker": {"template": {}}},
            "spec.worker.template.image: is required",
        ),
        ({"sclaing": {}}, "spec.sclaing: is no field here; did you mean scaling?"),
    ],
)
def test_a_bad_field_is_named_with_its_path(spec: dict[str, Any], problem: str) -> None:
    assert problems_of(document(**spec)) == [problem]


def test_all_problems_are_told_at_once() -> None:
    assert len(problems_of(document(worker={"concurrency": 0}, line={"capacity": 0}))) == 2


@pytest.mark.parametrize("nothing", [None, [], "text", 3])
def test_a_document_must_be_an_object(nothing: Any) -> None:
    assert problems_of(nothing)[0].startswith("document: must be an object")


def test_a_name_must_be_a_dns_label() -> None:
    bad = document()
    bad["metadata"] = {"name": "No_Good"}
    assert problems_of(bad)[0].startswith("metadata.name: must be a string that matches")


def test_what_is_missing_at_the_top_is_told() -> None:
    assert problems_of({}) == [
        "apiVersion: is required",
        "kind: is required",
        "metadata: is required",
        "spec: is required",
    ]


def test_a_spec_that_says_nothing_has_no_workers() -> None:
    assert problems_of(document() | {"spec": {}}) == [
        "spec: has neither workerRef nor worker.template; exactly one is needed"
    ]


def test_no_more_workers_are_needed_than_are_allowed() -> None:
    pipeline = ScoringPipeline(
        worker=WorkerSpec(concurrency=10), scaling=ScalingSpec(min_replicas=1, max_replicas=4)
    )
    assert [pipeline.allowed_workers(needed) for needed in (0, 3, 9)] == [1, 3, 4]
    capped = replace(pipeline, connections=ConnectionsSpec(max_in_flight=25))
    assert capped.allowed_workers(9) == 2
