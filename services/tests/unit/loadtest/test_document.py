"""Tables are put where documents have a place for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadtest.cluster.__main__ import DOCUMENT, EXPERIMENTS
from loadtest.document import put, table

if TYPE_CHECKING:
    from pathlib import Path


def test_a_table_is_markdown() -> None:
    assert table(["", "a"], [["x", "1"], ["y", "2"]]) == (
        "|  | a |\n| --- | --- |\n| x | 1 |\n| y | 2 |"
    )


def test_a_report_replaces_what_stood_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- x -->\nold\n<!-- end of x -->\nafter\n", encoding="utf-8")
    for report in ("first", "second"):
        put(page, "x", report)
    expected = "before\n<!-- x -->\n\nsecond\n<!-- end of x -->\nafter\n"
    assert page.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_has_its_place_and_its_command(experiment: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert f"<!-- {experiment} -->" in text
    assert f"<!-- end of {experiment} -->" in text
    assert f"uv run python -m loadtest.cluster {experiment}" in text
