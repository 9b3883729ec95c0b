"""What each worker of a pipeline is told of it, as environment variables: settings of its process.

`shortlist up` gives them to processes, and the operator to containers. The chart, which renders its
workers' Deployment without either, says the same: ``operator/tests/chart`` compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from shortlist.domain.sizing.pipeline import ClaudeScorerSpec, SimulatedScorerSpec

if TYPE_CHECKING:
    from shortlist.domain.sizing.pipeline import ScoringPipeline


def worker_environment(pipeline: ScoringPipeline) -> dict[str, str]:
    """Make the variables, by name; what stands in a Secret or a ConfigMap is not among them."""
    values = {
        "SHORTLIST_PIPELINE": pipeline.name,
        "SHORTLIST_CONCURRENCY": pipeline.worker.concurrency,
        "SHORTLIST_CONNECTION_MODE": pipeline.connections.mode,
        "SHORTLIST_CONNECTION_OVERHEAD": pipeline.connections.overhead_per_worker,
        "SHORTLIST_DRAIN_TIMEOUT_SECONDS": pipeline.worker.drain_timeout_seconds,
        "SHORTLIST_INITIAL_GRANT": pipeline.connections.first_grant,
        **_of_scorer(pipeline.scorer),
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def _of_scorer(scorer: SimulatedScorerSpec | ClaudeScorerSpec) -> dict[str, str | float | None]:
    if isinstance(scorer, SimulatedScorerSpec):
        return {
            "SHORTLIST_SCORER": "simulated",
            "SHORTLIST_SERVICE_SECONDS": scorer.service_seconds,
            "SHORTLIST_SERVICE_CV": scorer.service_cv,
        }
    if isinstance(scorer, ClaudeScorerSpec):
        return {
            "SHORTLIST_SCORER": "claude",
            "SHORTLIST_MODEL": scorer.model,
            "SHORTLIST_REQUESTS_PER_MINUTE": scorer.requests_per_minute,
            "SHORTLIST_TOKENS_PER_MINUTE": scorer.tokens_per_minute,
        }
    assert_never(scorer)
