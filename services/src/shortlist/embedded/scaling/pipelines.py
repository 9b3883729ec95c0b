"""Which pipelines to run: read from files, or made from the settings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import yaml

from shortlist.domain.errors import ShortlistError
from shortlist.domain.line.application import DEFAULT_PIPELINE, PipelineName
from shortlist.domain.sizing.connections import PER_JOB_WANTS_SESSIONS
from shortlist.domain.sizing.pipeline import (
    KIND,
    ClaudeScorerSpec,
    ConnectionsSpec,
    InvalidPipelineError,
    ScalingSpec,
    ScoringPipeline,
    SimulatedScorerSpec,
    WorkerSpec,
    parse_pipeline,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from shortlist.embedded.scaling.machine import Machine
    from shortlist.settings import Settings


WORKERS_PER_CORE = 8
"""No more, whatever the file says, which may be meant for a cluster: a worker waits for a model
most of the time, but it takes 70 MB, and 0.7 s of a core to start."""

SIMULATED_CONCURRENCY = 100
"""Slots of a worker of the pipeline that no file describes. Ten: 16 × 10 ÷ 1.5 s = 107 scores
a second on two cores, both of them idle. A worker with a hundred takes hardly more memory."""

_WORKERS_AT_START = 2


class BadPipelineFileError(ShortlistError, ValueError):
    """A file holds no usable ScoringPipeline; the message says where and why."""


def read_pipelines(
    files: Iterable[Path], settings: Settings
) -> dict[PipelineName, ScoringPipeline]:
    """Read all pipelines of some files, and ``default``, which always exists. Blocks."""
    found: dict[PipelineName, ScoringPipeline] = {}
    for path in files:
        for pipeline in _of_file(path):
            if pipeline.name in found:
                raise BadPipelineFileError(f"{path}: pipeline {pipeline.name} is there twice.")
            found[pipeline.name] = pipeline
    found.setdefault(DEFAULT_PIPELINE, pipeline_of_settings(settings))
    for pipeline in found.values():
        _refuse_claude_without_what_a_cluster_has(pipeline, settings)
        if settings.database_url.pooler is not None and pipeline.connections.mode == "perJob":
            raise BadPipelineFileError(f"Pipeline {pipeline.name}: {PER_JOB_WANTS_SESSIONS}.")
    return found


def fitted(
    pipeline: ScoringPipeline, workers: int | None, machine: Machine, *, pipelines: int = 1
) -> ScoringPipeline:
    """Fit it to this machine: a bounded number of workers; with ``workers``, always that many.

    ``pipelines`` share the memory. It bounds every number, those that were asked for too: what the
    system ends to have memory again scores nothing.
    """
    spec = pipeline.scaling
    if workers is not None:
        spec = replace(spec, min_replicas=workers, max_replicas=workers, mode="Paused")
    in_memory = max(1, machine.workers_in_memory // pipelines)
    least = min(spec.min_replicas, in_memory)
    by_cores = max(least, min(spec.max_replicas, WORKERS_PER_CORE * machine.cores))
    most = min(by_cores, in_memory)
    return replace(pipeline, scaling=replace(spec, min_replicas=least, max_replicas=most))


def memory_bound(
    asked: Mapping[PipelineName, ScoringPipeline], workers: int | None, machine: Machine
) -> str | None:
    """Return a sentence when memory bounds a pipeline's workers more than all else does."""
    plenty = replace(machine, memory_bytes=2**62)
    for pipeline in asked.values():
        without = fitted(pipeline, workers, plenty).scaling
        bounded = fitted(pipeline, workers, machine, pipelines=len(asked)).scaling
        if bounded.max_replicas < without.max_replicas:
            each = " of each pipeline" if len(asked) > 1 else ""
            return (
                f"At most {bounded.max_replicas} of {without.max_replicas} workers{each} are "
                f"started: limited by memory, of which {machine.memory_bytes >> 20} MB are free."
            )
    return None


def workers_at_start(pipeline: ScoringPipeline) -> int:
    """Before the policy knows anything, and all the time when it may do nothing."""
    spec = pipeline.scaling
    return max(spec.min_replicas, min(_WORKERS_AT_START, spec.max_replicas))


def pipeline_of_settings(settings: Settings) -> ScoringPipeline:
    """Make the default pipeline when no file describes it. One worker always stays."""
    scorer = (
        ClaudeScorerSpec(
            model=settings.model,
            requests_per_minute=settings.requests_per_minute,
            tokens_per_minute=settings.tokens_per_minute,
        )
        if settings.scorer == "claude"
        else SimulatedScorerSpec(settings.service_seconds, settings.service_cv)
    )
    given = settings.model_fields_set
    is_pooled = settings.database_url.pooler is not None
    is_ours = settings.scorer == "simulated"  # with a model, its account is the limit
    return ScoringPipeline(
        worker=WorkerSpec(
            SIMULATED_CONCURRENCY
            if is_ours and "concurrency" not in given
            else settings.concurrency,
            round(settings.drain_timeout_seconds),
        ),
        scorer=scorer,
        scaling=ScalingSpec(min_replicas=1),
        connections=replace(
            ConnectionsSpec(),
            mode="perWrite"
            if (is_ours or is_pooled) and "connection_mode" not in given
            else settings.connection_mode,
            overhead_per_worker=settings.connection_overhead,
        ),
    )


def _of_file(path: Path) -> Iterator[ScoringPipeline]:
    found = False
    for number, document in enumerate(_documents(path), start=1):
        if isinstance(document, dict) and document.get("kind") not in (None, KIND):
            continue  # a file for Kubernetes may hold other things too
        try:
            yield parse_pipeline(document, for_a_cluster=False)
        except InvalidPipelineError as error:
            raise BadPipelineFileError(f"{path}, document {number}: {error}") from error
        found = True
    if not found:
        raise BadPipelineFileError(f"{path}: there is no {KIND} in it.")


def _documents(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise BadPipelineFileError(f"{path} cannot be read: {why}.") from error
    try:
        return [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise BadPipelineFileError(f"{path} is no YAML: {' '.join(str(error).split())}") from error


def _refuse_claude_without_what_a_cluster_has(
    pipeline: ScoringPipeline, settings: Settings
) -> None:
    """Refuse what the environment lacks: there are no Secrets and ConfigMaps here."""
    if not isinstance(pipeline.scorer, ClaudeScorerSpec):
        return
    if settings.anthropic_api_key is None and not _in_template(pipeline, "ANTHROPIC_API_KEY"):
        raise BadPipelineFileError(
            f"Pipeline {pipeline.name} scores with claude: set ANTHROPIC_API_KEY."
        )
    has_rubric = settings.rubric is not None or _in_template(pipeline, "SHORTLIST_RUBRIC")
    if pipeline.scorer.rubric_ref is not None and not has_rubric:
        raise BadPipelineFileError(
            f"Pipeline {pipeline.name} has its rubric in the ConfigMap "
            f"{pipeline.scorer.rubric_ref.name}; here, set SHORTLIST_RUBRIC to its text."
        )


def _in_template(pipeline: ScoringPipeline, variable: str) -> bool:
    entries = (pipeline.worker.template or {}).get("env") or []
    return any(isinstance(e, dict) and e.get("name") == variable for e in entries)
