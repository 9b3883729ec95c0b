"""Each command tells a person what it does; what it writes has a place in a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from loadtest.bench.__main__ import app as bench
from loadtest.bench.catalog import EXPERIMENTS as EXPERIMENTS_OF_BENCH
from loadtest.bench.catalog import GROUPS
from loadtest.burst.__main__ import app as burst
from loadtest.cluster.__main__ import DOCUMENT
from loadtest.cluster.__main__ import app as cluster
from loadtest.simulation.__main__ import app as simulation

if TYPE_CHECKING:
    import typer

EXPERIMENTS = ("seed", "keda")
COMMANDS: list[tuple[typer.Typer, list[str], str]] = [
    (bench, [], "real servers"),
    (burst, [], "shortlist up"),
    (simulation, [], "needs no server"),
    (cluster, ["seed"], "cluster"),
    (cluster, ["keda"], "cluster"),
]


@pytest.mark.parametrize(("app", "arguments", "against"), COMMANDS)
def test_help_says_what_is_run_for_how_long_and_against_what(
    app: typer.Typer, arguments: list[str], against: str
) -> None:
    answer = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "200"})
    assert answer.exit_code == 0
    assert against in answer.output
    assert any(unit in answer.output for unit in ("minutes", "hour"))


def test_hiring_is_the_name_of_all_its_experiments() -> None:
    assert set(GROUPS["hiring"]) == {name for name in EXPERIMENTS_OF_BENCH if "hiring" in name}
    answer = CliRunner().invoke(bench, ["hirings"])
    assert answer.exit_code == 1
    assert "no such experiment: hirings" in str(answer.exception or answer.output)


def test_the_cluster_has_these_experiments() -> None:
    assert tuple(get_command(cluster).commands) == EXPERIMENTS  # type: ignore[attr-defined]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_has_its_place_and_its_command(experiment: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert f"<!-- {experiment} -->" in text
    assert f"<!-- end of {experiment} -->" in text
    assert f"uv run python -m loadtest.cluster {experiment}" in text
