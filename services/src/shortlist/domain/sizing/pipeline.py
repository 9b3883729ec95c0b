"""The resource ``ScoringPipeline`` as values: the same document for Kubernetes and `shortlist up`.

What each field means is in ``docs/autoscaling.md``. The rules here are those of the resource's
schema and its CEL expressions, so that what this accepts a cluster accepts too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from shortlist.domain.documents import Reader
from shortlist.domain.errors import ShortlistError
from shortlist.domain.line.application import DEFAULT_PIPELINE, ConnectionMode, PipelineName

API_VERSION = "shortlist.dev/v1alpha1"
KIND = "ScoringPipeline"

NAME_PATTERN = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
"""A DNS label (RFC 1123), as for pipelines everywhere else."""

HEADROOM_PATTERN = r"[0-9]{1,3}(\.[0-9]{1,3})?"
"""A number as text: Kubernetes advises against floats in resources, and three digits are plenty."""

_INT4_MAX = 2**31 - 1
"""Of Postgres's integer, which keeps a line's capacity."""

ScalingMode = Literal["Auto", "DryRun", "Paused"]
_SCALING_MODES: tuple[ScalingMode, ...] = ("Auto", "DryRun", "Paused")
_CONNECTION_MODES: tuple[ConnectionMode, ...] = ("perJob", "perWrite")


class InvalidPipelineError(ShortlistError, ValueError):
    """The document is no valid ScoringPipeline."""

    def __init__(self, problems: list[str]) -> None:
        """``problems``: one sentence for each, beginning with the field's path."""
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Reference:
    """An object of the same namespace, or one key of it."""

    name: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What one worker does. ``template`` (opaque) is for Deployments that the operator owns."""

    concurrency: int = 10
    drain_timeout_seconds: int = 60
    template: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SimulatedScorer:
    """Waits and gives a score; lognormal with this mean and sd ÷ mean, constant when that is 0."""

    service_seconds: float = 1.5
    service_cv: float = 0.0


@dataclass(frozen=True, slots=True)
class ClaudeScorer:
    """Asks a model. Unset limits are learned from the model's answers."""

    model: str | None = None
    rubric_ref: Reference | None = None
    secret_ref: Reference | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class LineSpec:
    """``capacity``: accepted and unfinished applications beyond which ingest answers 429."""

    capacity: int = 100_000


@dataclass(frozen=True, slots=True)
class ScalingSpec:
    """How many workers. ``headroom``: beta of square-root staffing (Halfin and Whitt, 1981)."""

    min_replicas: int = 0
    max_replicas: int = 30
    interval_seconds: float = 1.0
    drain_target_seconds: float = 4.0
    headroom: float = 1.0
    down_window_seconds: float = 45.0
    idle_seconds: float = 60.0
    mode: ScalingMode = "Auto"
    pause_scale_in: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionsSpec:
    """Whose connections to Postgres are counted, and how many are left for all other clients."""

    mode: ConnectionMode = "perJob"
    overhead_per_worker: int = 1
    reserved: int = 20
    max_in_flight: int | None = None

    @property
    def first_grant(self) -> int:
        """What a worker starts with, until it is granted more: k + 1."""
        return self.overhead_per_worker + 1


@dataclass(frozen=True, slots=True)
class FallbackSpec:
    """What to do after so many failures to read the line: at least so many replicas."""

    failure_threshold: int = 5
    replicas: int = 3


@dataclass(frozen=True, slots=True)
class ScoringPipeline:
    """One pipeline: a named line with its own workers, scorer and limits."""

    name: PipelineName = DEFAULT_PIPELINE
    worker_ref: Reference | None = None
    worker: WorkerSpec = field(default_factory=WorkerSpec)
    scorer: SimulatedScorer | ClaudeScorer = field(default_factory=SimulatedScorer)
    line: LineSpec = field(default_factory=LineSpec)
    scaling: ScalingSpec = field(default_factory=ScalingSpec)
    connections: ConnectionsSpec = field(default_factory=ConnectionsSpec)
    fallback: FallbackSpec = field(default_factory=FallbackSpec)

    def allowed_workers(self, needed: int) -> int:
        """As many as are needed, within minReplicas, maxReplicas and maxInFlight."""
        allowed = min(max(needed, self.scaling.min_replicas), self.scaling.max_replicas)
        if self.connections.max_in_flight is None:
            return allowed
        return min(allowed, self.connections.max_in_flight // self.worker.concurrency)


def parse_pipeline(document: Any, *, for_a_cluster: bool = True) -> ScoringPipeline:
    """Read a document, or raise `InvalidPipelineError` with all that is wrong with it.

    A cluster must be told what to run: by ``workerRef``, or by a template with an image. Where
    workers are processes of this machine, neither means anything, and both may be left out.
    """
    if not isinstance(document, Mapping):
        raise InvalidPipelineError([f"document: must be an object, is {type(document).__name__}"])
    reader = Reader(document, "", [])
    pipeline = _pipeline(reader, for_a_cluster=for_a_cluster)
    if reader.problems:
        raise InvalidPipelineError(reader.problems)
    return pipeline


def _pipeline(root: Reader, *, for_a_cluster: bool) -> ScoringPipeline:
    root.choice("apiVersion", (API_VERSION,))
    root.choice("kind", (KIND,))
    root.ignore("status")
    # The rest of metadata (labels, annotations …) is Kubernetes's own.
    name = root.child("metadata", required=True).text("name", pattern=NAME_PATTERN, required=True)
    spec = root.child("spec", required=True)
    root.finish()
    pipeline = ScoringPipeline(
        name=PipelineName(name),
        worker_ref=_reference(spec, "workerRef"),
        worker=_worker(spec.child("worker")),
        scorer=_scorer(spec.child("scorer")),
        line=_line(spec.child("line")),
        scaling=_scaling(spec.child("scaling")),
        connections=_connections(spec.child("connections")),
        fallback=_fallback(spec.child("fallback")),
    )
    spec.finish()
    if isinstance(root.value.get("spec"), Mapping):
        _check_target(spec, pipeline, for_a_cluster=for_a_cluster)
    return pipeline


def _check_target(spec: Reader, pipeline: ScoringPipeline, *, for_a_cluster: bool) -> None:
    template = pipeline.worker.template
    if spec.has("workerRef") and template is not None:
        spec.problem("has both workerRef and worker.template; exactly one is needed")
    elif not for_a_cluster:
        return
    elif template is not None:
        path = f"{spec.path}.worker.template"
        Reader(template, path, spec.problems).text("image", required=True)
    elif not spec.has("workerRef"):
        spec.problem("has neither workerRef nor worker.template; exactly one is needed")


def _reference(parent: Reader, name: str, *, keyed: bool = False) -> Reference | None:
    reader = parent.child(name)
    if not parent.has(name):
        return None
    found = reader.text("name", required=True)
    key = (reader.text("key") or None) if keyed else None
    reader.finish()
    return Reference(found, key)


def _worker(reader: Reader) -> WorkerSpec:
    worker = WorkerSpec(
        concurrency=reader.integer("concurrency", 10, minimum=1, maximum=10_000),
        drain_timeout_seconds=reader.integer("drainTimeoutSeconds", 60, minimum=5, maximum=86_400),
        template=reader.mapping("template"),
    )
    reader.finish()
    return worker


def _scorer(reader: Reader) -> SimulatedScorer | ClaudeScorer:
    kind = reader.choice("kind", ("simulated", "claude"), "simulated")
    scorer = _claude(reader) if kind == "claude" else _simulated(reader)
    reader.finish()
    return scorer


def _simulated(reader: Reader) -> SimulatedScorer:
    return SimulatedScorer(
        service_seconds=reader.number("serviceSeconds", 1.5, minimum=0),
        service_cv=reader.number("serviceCv", 0.0, minimum=0, maximum=10),
    )


def _claude(reader: Reader) -> ClaudeScorer:
    return ClaudeScorer(
        model=reader.text("model") or None,
        rubric_ref=_reference(reader, "rubricRef", keyed=True),
        secret_ref=_reference(reader, "secretRef", keyed=True),
        requests_per_minute=reader.optional_integer("requestsPerMinute", minimum=1),
        tokens_per_minute=reader.optional_integer("tokensPerMinute", minimum=1),
    )


def _line(reader: Reader) -> LineSpec:
    line = LineSpec(capacity=reader.integer("capacity", 100_000, minimum=1, maximum=_INT4_MAX))
    reader.finish()
    return line


def _scaling(reader: Reader) -> ScalingSpec:
    scaling = ScalingSpec(
        min_replicas=reader.integer("minReplicas", 0, minimum=0),
        max_replicas=reader.integer("maxReplicas", 30, minimum=1),
        interval_seconds=reader.number("intervalSeconds", 1.0, minimum=0.1, maximum=60),
        drain_target_seconds=reader.number("drainTargetSeconds", 4.0, minimum=0.1),
        headroom=float(reader.text("headroom", "1.0", pattern=HEADROOM_PATTERN)),
        down_window_seconds=reader.number("downWindowSeconds", 45.0, minimum=0),
        idle_seconds=reader.number("idleSeconds", 60.0, minimum=0),
        mode=cast("ScalingMode", reader.choice("mode", _SCALING_MODES, "Auto")),
        pause_scale_in=reader.boolean("pauseScaleIn", default=False),
    )
    if scaling.min_replicas > scaling.max_replicas:
        reader.problem(
            f"minReplicas ({scaling.min_replicas}) is more than maxReplicas "
            f"({scaling.max_replicas})"
        )
    reader.finish()
    return scaling


def _connections(reader: Reader) -> ConnectionsSpec:
    connections = ConnectionsSpec(
        mode=cast("ConnectionMode", reader.choice("mode", _CONNECTION_MODES, "perJob")),
        overhead_per_worker=reader.integer("overheadPerWorker", 1, minimum=1, maximum=1000),
        reserved=reader.integer("reserved", 20, minimum=0),
        max_in_flight=reader.optional_integer("maxInFlight", minimum=1),
    )
    reader.finish()
    return connections


def _fallback(reader: Reader) -> FallbackSpec:
    fallback = FallbackSpec(
        failure_threshold=reader.integer("failureThreshold", 5, minimum=1),
        replicas=reader.integer("replicas", 3, minimum=0),
    )
    reader.finish()
    return fallback
