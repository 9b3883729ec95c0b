"""What is shipped has no switch that turns a guard off, and no wrong variant beside a right one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
SHIPPED = ("services/src", "services/migrations", "operator/src", "charts")

SWITCHES = re.compile(r"guarded|guards_off|unfenced|sitecustomize", re.IGNORECASE)
"""Words of the tests' side: `testkit/src/testkit/unguarded`."""


def switches_in(folder: Path) -> list[str]:
    """Return each line under a folder that speaks of a switch, with its place."""
    return [
        f"{file.relative_to(folder)}:{number}: {line.strip()}"
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix not in {".pyc", ".tgz"}
        for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1)
        if SWITCHES.search(line)
    ]


@pytest.mark.parametrize("folder", SHIPPED)
def test_nothing_that_is_shipped_turns_a_guard_off(folder: str) -> None:
    assert (REPOSITORY / folder).is_dir()
    assert not switches_in(REPOSITORY / folder)


@pytest.mark.parametrize(
    "line",
    [
        'if not guarded("fence"):',
        'os.environ.get("SHORTLIST_GUARDS_OFF")',
        "-- name: complete_unfenced",
        "import sitecustomize",
        'os.environ["UNGUARDED"]',
    ],
)
def test_off_switch_a_switch_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "shipped.py").write_text(f"x = 1\n    {line}\n")
    assert switches_in(tmp_path) == [f"shipped.py:2: {line}"]
