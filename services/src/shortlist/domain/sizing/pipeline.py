"""The resource ``ScoringPipeline`` as values: the same document for Kubernetes and `shortlist up`.

What each field means is in ``docs/pipelines.md``. Types, bounds and defaults stand here, once:
tests compare the resource's schema with them, and the chart's, and the page. The rules are those of
the resource's CEL expressions, so that what this accepts a cluster accepts too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from msgspec import Meta

from shortlist.domain.documents import Reader
from shortlist.domain.errors import ShortlistError
from shortlist.domain.line.application import (
    DEFAULT_PIPELINE,
    PIPELINE_NAME_PATTERN,
    ConnectionMode,
    PipelineName,
)

API_VERSION = "shortlist.dev/v1alpha1"
KIND = "ScoringPipeline"

_INT4_MAX = 2**31 - 1
"""Of Postgres's integer, which keeps a line's capacity."""

AtLeast0 = Annotated[int, Meta(ge=0)]
AtLeast1 = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]
Text = Annotated[str, Meta(min_length=1)]
ScalingMode = Literal["Auto", "DryRun", "Paused"]
ScorerKind = Literal["simulated", "claude"]


class InvalidPipelineError(ShortlistError, ValueError):
    """The document is no valid ScoringPipeline."""

    def __init__(self, problems: list[str]) -> None:
        """``problems``: one sentence for each, beginning with the field's path."""
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Reference:
    """A Deployment of the same namespace; 253 characters are Kubernetes' own bound of a name."""

    name: Annotated[str, Meta(min_length=1, max_length=253)]


@dataclass(frozen=True, slots=True)
class KeyReference:
    """One key of a Secret or a ConfigMap of the same namespace."""

    name: Text
    key: Text | None = None


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What one worker does. ``template`` (opaque) is for Deployments that the operator owns."""

    concurrency: Annotated[int, Meta(ge=1, le=10_000)] = 10
    drain_timeout_seconds: Annotated[int, Meta(ge=5, le=86_400)] = 60
    template: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SimulatedScorerSpec:
    """Waits and gives a score; lognormal with this mean and sd ÷ mean, constant when that is 0."""

    service_seconds: Seconds = 1.5
    service_cv: Annotated[float, Meta(ge=0, le=10)] = 0.0


@dataclass(frozen=True, slots=True)
class ClaudeScorerSpec:
    """Asks a model. Unset limits are learned from the model's answers."""

    model: Text | None = None
    rubric_ref: KeyReference | None = None
    secret_ref: KeyReference | None = None
    requests_per_minute: AtLeast1 | None = None
    tokens_per_minute: AtLeast1 | None = None


SCORERS: Mapping[ScorerKind, type] = {"simulated": SimulatedScorerSpec, "claude": ClaudeScorerSpec}


@dataclass(frozen=True, slots=True)
class LineSpec:
    """``capacity``: accepted and unfinished applications beyond which ingest answers 429."""

    capacity: Annotated[int, Meta(ge=1, le=_INT4_MAX)] = 100_000


@dataclass(frozen=True, slots=True)
class ScalingSpec:
    """How many workers."""

    min_replicas: AtLeast0 = 0
    max_replicas: AtLeast1 = 30
    interval_seconds: Annotated[float, Meta(ge=0.1, le=60)] = 1.0
    drain_target_seconds: Annotated[float, Meta(ge=0.1)] = 4.0
    headroom: Annotated[str, Meta(pattern=r"^[0-9]{1,3}(\.[0-9]{1,3})?$")] = "1.0"
    """A number as text: Kubernetes advises against floats in resources; three digits are plenty."""
    down_window_seconds: Seconds = 45.0
    idle_seconds: Seconds = 60.0
    mode: ScalingMode = "Auto"
    pause_scale_in: bool = False

    @property
    def beta(self) -> float:
        """The headroom as a number: beta of square-root staffing (Halfin and Whitt, 1981)."""
        return float(self.headroom)


@dataclass(frozen=True, slots=True)
class ConnectionsSpec:
    """Whose connections to Postgres are counted, and how many are left for all other clients."""

    mode: ConnectionMode = "perJob"
    overhead_per_worker: Annotated[int, Meta(ge=1, le=1000)] = 1
    reserved: AtLeast0 = 40
    max_in_flight: AtLeast1 | None = None

    @property
    def first_grant(self) -> int:
        """What a worker starts with, until it is granted more: k + 1."""
        return self.overhead_per_worker + 1


@dataclass(frozen=True, slots=True)
class FallbackSpec:
    """What to do after so many failures to read the line: at least so many replicas."""

    failure_threshold: AtLeast1 = 5
    replicas: AtLeast0 = 3


@dataclass(frozen=True, slots=True)
class ScoringPipeline:
    """One pipeline: a named line with its own workers, scorer and limits."""

    name: PipelineName = DEFAULT_PIPELINE
    worker_ref: Reference | None = None
    worker: WorkerSpec = field(default_factory=WorkerSpec)
    scorer: SimulatedScorerSpec | ClaudeScorerSpec = field(default_factory=SimulatedScorerSpec)
    line: LineSpec = field(default_factory=LineSpec)
    scaling: ScalingSpec = field(default_factory=ScalingSpec)
    connections: ConnectionsSpec = field(default_factory=ConnectionsSpec)
    fallback: FallbackSpec = field(default_factory=FallbackSpec)

    def allowed_workers(self, needed: int) -> int:
        """Return as many as are needed, within minReplicas, maxReplicas and maxInFlight."""
        allowed = min(max(needed, self.scaling.min_replicas), self.scaling.max_replicas)
        if self.connections.max_in_flight is None:
            return allowed
        return min(allowed, self.connections.max_in_flight // self.worker.concurrency)


@dataclass(frozen=True, slots=True)
class _Document:
    """The resource around the spec; the rest of metadata (labels …) is Kubernetes's own."""

    api_version: Literal["shortlist.dev/v1alpha1"]
    kind: Literal["ScoringPipeline"]
    metadata: Mapping[str, Any]
    spec: Mapping[str, Any]
    status: Any = None


def parse_pipeline(document: Any, *, for_a_cluster: bool = True) -> ScoringPipeline:
    """Read a document, or raise `InvalidPipelineError` with all that is wrong with it.

    A cluster must be told what to run: by ``workerRef``, or by a template with an image. Where
    workers are processes of this machine, neither means anything, and both may be left out.
    """
    reader = Reader()
    read = reader.read(_Document, document, "")
    if read is not None:
        name = reader.value(_Name, read.metadata.get("name"), "metadata.name")
        spec = reader.read(ScoringPipeline, read.spec, "spec", beside=frozenset({"name", "scorer"}))
        scorer = _scorer(reader, read.spec.get("scorer"))
        if not reader.problems:
            pipeline: ScoringPipeline = replace(spec, name=PipelineName(name), scorer=scorer)
            _check(reader, pipeline, for_a_cluster=for_a_cluster)
            if not reader.problems:
                return pipeline
    raise InvalidPipelineError(reader.problems)


_Name = Annotated[str, Meta(pattern=PIPELINE_NAME_PATTERN)]


def _scorer(reader: Reader, found: Any) -> Any:
    """Read the fields of its kind."""
    if not isinstance(found, Mapping):
        return reader.read(SimulatedScorerSpec, {} if found is None else found, "spec.scorer")
    kind = reader.value(ScorerKind, found.get("kind") or "simulated", "spec.scorer.kind")
    return kind and reader.read(SCORERS[kind], found, "spec.scorer", beside=frozenset({"kind"}))


def _check(reader: Reader, pipeline: ScoringPipeline, *, for_a_cluster: bool) -> None:
    """Check what no field breaks alone."""
    scaling, template = pipeline.scaling, pipeline.worker.template
    if scaling.min_replicas > scaling.max_replicas:
        reader.problems.append(
            f"spec.scaling: minReplicas ({scaling.min_replicas}) is more than maxReplicas "
            f"({scaling.max_replicas})"
        )
    if pipeline.worker_ref is not None and template is not None:
        reader.problems.append(_exactly_one("both workerRef and"))
    elif for_a_cluster and template is not None:
        reader.read(
            _Template, template, "spec.worker.template", beside=frozenset(template) - {"image"}
        )
    elif for_a_cluster and pipeline.worker_ref is None:
        reader.problems.append(_exactly_one("neither workerRef nor"))


@dataclass(frozen=True, slots=True)
class _Template:
    image: Text


def _exactly_one(found: str) -> str:
    return f"spec: has {found} worker.template; exactly one is needed"
