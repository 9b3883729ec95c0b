from __future__ import annotations

import json

from loadtest.bench import report
from loadtest.bench.figure import Figure, Samples, Target

FIGURE = Figure(
    "accepts_ratio",
    "accepts",
    "×",
    Samples.of([2.1, 2.0, 2.3]),
    Target("at least", 2),
    {"bare": Samples.of([1])},
    rival_notes={"bare": "stores nothing"},
)


def test_a_row_shows_the_figure_beside_its_target_and_rivals() -> None:
    assert report.row(FIGURE) == (
        "accepts", "×", "2.1", "2–2.3", "≥ 2", "yes", "bare 1 (stores nothing)",
    )  # fmt: skip


def test_numbers_have_three_digits() -> None:
    assert report.number(12345.6) == "12 346"
    assert report.number(0.12345) == "0.123"


def test_the_document_has_a_section_for_each_experiment_that_was_run() -> None:
    machine = {"when": "now", "load before": "0.1"}
    record = report.as_record("accepts", [FIGURE], machine, quick=False)
    text = report.markdown({"accepts": record})
    assert "## Accepting" in text
    assert "| accepts | × | 2.1 |" in text
    assert "## Memory" not in text
    assert "- **RQ**: RQ, a pool" in text


def test_what_all_runs_share_is_said_once_and_what_differs_beside_its_figures() -> None:
    both = {"when": "now", "load before": "0.1", "machine": "2 cores"}
    records = {
        name: report.as_record(name, [FIGURE], both | {"Python": python}, quick=False)
        for name, python in (("accepts", "3.11"), ("reads", "3.13"))
    }
    text = report.markdown(records)
    assert text.count("- machine: 2 cores") == 1
    assert text.index("- machine: 2 cores") < text.index("## Accepting")
    assert text.index("## Accepting") < text.index("- Python: 3.11") < text.index("## Reading")
    assert text.index("## Reading") < text.index("- Python: 3.13")


def test_the_document_is_what_the_record_says() -> None:
    records = json.loads(report.RECORD.read_text("utf-8"))
    assert report.DOCUMENT.read_text("utf-8") == report.markdown(records)
