from __future__ import annotations

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
