"""The code keeps its shape: short functions, folders that can be read at a glance, few waivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testkit.repository import ROOT
from tools import code_figures

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = {
    "lines of a function: median": 7,
    "lines of a function: 90th percentile": 17,
    "lines of a function: longest": 60,
    "functions with C901 over 8": 0,
    "largest folder, modules": 12,
    "waivers per 1 000 lines": 2,
}
"""Most that there may be."""


def over(root: Path) -> list[str]:
    """Return the figures of a checkout that are over their limit."""
    figures = code_figures.figures(root)
    return [name for name, most in LIMITS.items() if float(figures[name].split()[0]) > most]


def test_no_figure_is_over_its_limit() -> None:
    assert over(ROOT) == []


def ragged(count: int) -> str:
    """Return a function of many lines and branches, each of them with a waiver."""
    lines = [f"    if {n}:  # noqa: PLR0133\n        print({n})" for n in range(count)]
    return "def ragged() -> None:\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("files", "branches", "found"),
    [
        (1, 1, {"waivers per 1 000 lines"}),
        (13, 1, {"waivers per 1 000 lines", "largest folder, modules"}),
        (1, 40, set(LIMITS) - {"largest folder, modules"}),
    ],
)
def test_a_figure_over_its_limit_is_found(
    tmp_path: Path, files: int, branches: int, found: set[str]
) -> None:
    for source in ("services/src", "operator/src"):
        (tmp_path / source).mkdir(parents=True)
    for number in range(files):
        (tmp_path / "services/src" / f"m{number}.py").write_text(ragged(branches))
    (tmp_path / "operator/src/other.py").write_text("def other() -> None:\n    print()\n")
    assert set(over(tmp_path)) == found
