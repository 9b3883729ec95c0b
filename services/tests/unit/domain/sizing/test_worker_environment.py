from __future__ import annotations

from shortlist.domain.line.application import PipelineName
from shortlist.domain.sizing.pipeline import (
    ClaudeScorerSpec,
    ConnectionsSpec,
    KeyReference,
    ScoringPipeline,
    SimulatedScorerSpec,
    WorkerSpec,
)
from shortlist.domain.sizing.worker_environment import worker_environment
from shortlist.settings import Settings

CLAUDE = ClaudeScorerSpec(
    model="m",
    rubric_ref=KeyReference("rubrics"),
    secret_ref=KeyReference("anthropic"),
    requests_per_minute=50,
    tokens_per_minute=4000,
)


def test_a_worker_is_told_what_its_pipeline_says() -> None:
    pipeline = ScoringPipeline(
        name=PipelineName("cv"),
        worker=WorkerSpec(concurrency=7, drain_timeout_seconds=90),
        scorer=SimulatedScorerSpec(0.5, 0.25),
        connections=ConnectionsSpec(mode="perWrite", overhead_per_worker=2),
    )
    assert worker_environment(pipeline) == {
        "SHORTLIST_PIPELINE": "cv",
        "SHORTLIST_CONCURRENCY": "7",
        "SHORTLIST_CONNECTION_MODE": "perWrite",
        "SHORTLIST_CONNECTION_OVERHEAD": "2",
        "SHORTLIST_DRAIN_TIMEOUT_SECONDS": "90",
        "SHORTLIST_INITIAL_GRANT": "3",
        "SHORTLIST_SCORER": "simulated",
        "SHORTLIST_SERVICE_SECONDS": "0.5",
        "SHORTLIST_SERVICE_CV": "0.25",
    }


def test_of_claude_it_is_told_what_is_set_and_nothing_that_is_referred_to() -> None:
    told = worker_environment(ScoringPipeline(scorer=CLAUDE))
    assert {name: told[name] for name in told if "SCORER" in name or "_MINUTE" in name} == {
        "SHORTLIST_SCORER": "claude",
        "SHORTLIST_REQUESTS_PER_MINUTE": "50",
        "SHORTLIST_TOKENS_PER_MINUTE": "4000",
    }
    assert told["SHORTLIST_MODEL"] == "m"
    assert not {"SHORTLIST_RUBRIC", "ANTHROPIC_API_KEY"} & told.keys()
    assert "SHORTLIST_MODEL" not in worker_environment(ScoringPipeline(scorer=ClaudeScorerSpec()))


def test_each_variable_is_a_setting_of_a_worker() -> None:
    told = worker_environment(ScoringPipeline()) | worker_environment(
        ScoringPipeline(scorer=CLAUDE)
    )
    names = {name.removeprefix("SHORTLIST_").lower() for name in told}
    assert names <= Settings.model_fields.keys()
