from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.domain.sizing.scaling import ScalingDecision, ScalingMemory
from shortlist.embedded.terminal.panel import render
from shortlist.embedded.terminal.screen import Painter, Screen, State, status_line
from shortlist.embedded.terminal.view import PipelineView, View

if TYPE_CHECKING:
    import pytest

STATE = State(
    phase="running",
    url="http://127.0.0.1:8000",
    data=Path("/data"),
    uptime_seconds=3725,
    view=View(
        [PipelineView("default", 120, 20, 41.25, 13.0, 2, 22, 22, 1.678, draining=1)],
        ["Redis does not answer: refused"],
    ),
    workers_wanted={"default": 3},
    decisions={
        DEFAULT_PIPELINE: ScalingDecision(
            3, 3, "41/s arriving", "maxReplicas", None, ScalingMemory()
        ),
    },
    budget=177,
    children={"postgres": "", "ingest": "it was ended by SIGKILL"},
    warnings=["Only 3 MB are free"],
)


def test_the_panel_shows_the_line_the_rates_the_workers_the_connections_and_the_percentile() -> (
    None
):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(STATE))
    text = console.export_text()
    for shown in (
        "http://127.0.0.1:8000", "running 1:02:05", "120", "20", "41.2/s", "13.0/s",
        "2/3 +1 draining", "default: 41/s arriving, limited by maxReplicas",
        "22/22 of 177", "1.7 s", "ingest (it was ended by SIGKILL)", "! Redis does not answer",
        "! Only 3 MB are free", "Ctrl-C",
    ):  # fmt: skip
        assert shown in text, text


def test_the_status_line_says_the_same_in_one_line() -> None:
    line = status_line(STATE)
    for shown in (
        "waiting 120", "in flight 20", "workers 2/3 +1 draining", "connections 22/22", "p99 1.7 s",
        "41/s arriving, limited by maxReplicas",
    ):  # fmt: skip
        assert shown in line
    assert "ingest: it was ended by SIGKILL" in line
    assert "\n" not in line


class _Broken(Painter):
    def say(self, sentence: str) -> None:
        raise BrokenPipeError(sentence)

    def show(self, state: State) -> None:
        raise BrokenPipeError(state.phase)

    def close(self) -> None:
        raise BrokenPipeError


def test_an_output_that_is_gone_disturbs_nobody(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    screen = Screen(_Broken, log=tmp_path / "log")
    for _ in range(1000):
        screen.say("hello")
        screen.show(STATE)
    screen.close()
    assert "hello" in (tmp_path / "log").read_text()
    assert not recwarn.list
