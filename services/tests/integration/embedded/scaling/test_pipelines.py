from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shortlist.domain.sizing.pipeline import ClaudeScorerSpec, SimulatedScorerSpec
from shortlist.embedded.scaling.pipelines import BadPipelineFileError, read_pipelines
from shortlist.embedded.supervision.processes import process_environment
from shortlist.settings import Settings, load

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "apiVersion: shortlist.dev/v1alpha1\nkind: ScoringPipeline\n"
GOOD = HEAD + "metadata: {name: NAME}\nspec: {workerRef: {name: w}, worker: {concurrency: 3}}\n"


def write(directory: Path, text: str) -> Path:
    path = directory / "pipeline.yaml"
    path.write_text(text)
    return path


def test_several_documents_are_several_pipelines_and_default_is_always_there(
    tmp_path: Path,
) -> None:
    text = "---\n".join(
        [GOOD.replace("NAME", "a"), "kind: Deployment\n", GOOD.replace("NAME", "b")]
    )
    pipelines = read_pipelines([write(tmp_path, text)], Settings())
    assert set(pipelines) == {"a", "b", "default"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no YAML: .*line 1"),
        ("", "there is no ScoringPipeline in it"),
        ("kind: Deployment", "there is no ScoringPipeline in it"),
        ("just text", "document 1: document: must be an object"),
        (HEAD + "metadata: {name: a}\n", "document 1: spec: is required"),
        (
            GOOD.replace("NAME", "a").replace("3", "0"),
            r"document 1: spec\.worker\.concurrency: must be a whole number from 1 to 10000, is 0",
        ),
        (
            GOOD.replace("NAME", "a") + "---\n" + GOOD.replace("NAME", "a"),
            "pipeline a is there twice",
        ),
    ],
)
def test_a_bad_file_is_told_precisely(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadPipelineFileError, match=message):
        read_pipelines([write(tmp_path, text)], Settings())


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadPipelineFileError, match=r"nothing\.yaml cannot be read: No such file"):
        read_pipelines([tmp_path / "nothing.yaml"], Settings())
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadPipelineFileError, match="cannot be read: it is no UTF-8"):
        read_pipelines([tmp_path / "binary"], Settings())


def test_claude_without_a_key_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    text = GOOD.replace("NAME", "a").replace("worker:", "scorer: {kind: claude}, worker:")
    path = write(tmp_path, text)
    with pytest.raises(BadPipelineFileError, match="set ANTHROPIC_API_KEY"):
        read_pipelines([path], load(Settings, {}))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    assert read_pipelines([path], load(Settings, {}))["a"].scorer == ClaudeScorerSpec()  # type: ignore[index]


def test_a_rubric_in_a_config_map_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    scorer = "scorer: {kind: claude, rubricRef: {name: rubrics}}, worker:"
    path = write(tmp_path, GOOD.replace("NAME", "a").replace("worker:", scorer))
    with pytest.raises(BadPipelineFileError, match=r"ConfigMap rubrics.*set SHORTLIST_RUBRIC"):
        read_pipelines([path], load(Settings, {}))
    monkeypatch.setenv("SHORTLIST_RUBRIC", "Ten points for Kubernetes.")
    assert set(read_pipelines([path], load(Settings, {}))) == {"a", "default"}


def test_claudes_limits_become_its_workers_settings(tmp_path: Path) -> None:
    scorer = "scorer: {kind: claude, requestsPerMinute: 50, tokensPerMinute: 4000}, worker:"
    path = write(tmp_path, GOOD.replace("NAME", "a").replace("worker:", scorer))
    pipeline = read_pipelines([path], Settings(anthropic_api_key="k"))["a"]  # type: ignore[index]
    environment = process_environment(pipeline)
    assert environment["SHORTLIST_REQUESTS_PER_MINUTE"] == "50"
    assert environment["SHORTLIST_TOKENS_PER_MINUTE"] == "4000"
    assert "SHORTLIST_MODEL" not in environment


def test_without_a_file_the_settings_describe_the_default_pipeline() -> None:
    settings = Settings(concurrency=4, service_seconds=0.2, connection_mode="perWrite")
    (pipeline,) = read_pipelines([], settings).values()
    assert pipeline.worker.concurrency == 4
    assert pipeline.scorer == SimulatedScorerSpec(0.2, 0.0)
    assert pipeline.connections.mode == "perWrite"
    settings = Settings(scorer="claude", anthropic_api_key="k", requests_per_minute=50)
    (pipeline,) = read_pipelines([], settings).values()
    assert pipeline.scorer == ClaudeScorerSpec(settings.model, requests_per_minute=50)


def test_a_pipeline_becomes_its_workers_settings(tmp_path: Path) -> None:
    text = """
apiVersion: shortlist.dev/v1alpha1
kind: ScoringPipeline
metadata: {name: a}
spec:
  worker:
    concurrency: 3
    drainTimeoutSeconds: 7
    template: {image: i, env: [{name: X, value: 1}, {name: Y, valueFrom: {}}]}
  scorer: {kind: simulated, serviceSeconds: 0.5}
  connections: {mode: perWrite, overheadPerWorker: 2}
"""
    pipeline = read_pipelines([write(tmp_path, text)], Settings())["a"]  # type: ignore[index]
    environment = process_environment(pipeline)
    assert environment.pop("X") == "1"
    assert "Y" not in environment
    fields = {name.removeprefix("SHORTLIST_").lower(): v for name, v in environment.items()}
    settings = Settings.model_validate(fields)
    assert settings.pipeline == "a"
    assert (settings.concurrency, settings.drain_timeout_seconds) == (3, 7)
    assert (settings.connection_mode, settings.connection_overhead) == ("perWrite", 2)
    assert (settings.service_seconds, settings.initial_grant) == (0.5, 3)
