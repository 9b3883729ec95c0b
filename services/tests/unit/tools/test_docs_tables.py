"""The pages that the code describes are found when they are out of date, and written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer.testing import CliRunner

from testkit.repository import ROOT
from tools import docs_tables
from tools.docs_tables import PAGES, app

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_page_that_is_out_of_date_is_named_and_then_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in PAGES:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / page).write_text((ROOT / page).read_text("utf-8"), "utf-8")
    stale = tmp_path / "docs" / "metrics.md"
    stale.write_text(stale.read_text("utf-8").replace("| gauge |", "| counter |"), "utf-8")
    monkeypatch.setattr(docs_tables, "ROOT", tmp_path)
    named = CliRunner().invoke(app, [])
    assert (named.exit_code, named.output) == (1, "out of date: docs/metrics.md\n")
    written = CliRunner().invoke(app, ["--write"])
    assert (written.exit_code, written.output) == (0, "written: docs/metrics.md\n")
    assert stale.read_text("utf-8") == (ROOT / "docs" / "metrics.md").read_text("utf-8")
