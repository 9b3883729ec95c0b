"""No decision is made by a wall clock: each place that reads one stands here, with its reason."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

import shortlist
import shortlist_operator

WALL_CLOCKS = {
    "time.time", "time.time_ns", "time.strftime", "time.ctime", "time.localtime", "time.gmtime",
    "dt.datetime.now", "dt.datetime.utcnow", "dt.datetime.today", "dt.date.today",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "uuid7", "uuid1",
}  # fmt: skip

# Where → how often, and why that decides nothing.
ALLOWED: dict[str, tuple[int, str]] = {
    "shortlist/embedded/terminal/screen.py": (3, "what a person reads beside a sentence"),
    "shortlist/ingest/ids.py": (1, "an id before Postgres was ever heard of: nothing is accepted"),
    "shortlist/worker/main.py": (
        3,
        "its own id; times in its heartbeat: for people, and the youngest of equals",
    ),
    "shortlist/worker/membership.py": (1, "a heartbeat: readers look only at whether it changes"),
    "shortlist_operator/kubernetes/lease.py": (
        1,
        "Lease.renewTime: readers look only at its changes",
    ),
    "shortlist_operator/kubernetes/kube.py": (1, "conditions and events: for people"),
}


REPOSITORY = Path(__file__).parents[3]
DECISION = REPOSITORY / "docs" / "decisions" / "0024-clocks.md"


def wall_clocks_in(source: str) -> list[str]:
    """Calls of wall clocks, and mentions of them that may be called later."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node) in WALL_CLOCKS
    ]


def test_wall_clocks_are_read_where_that_was_thought_about_and_nowhere_else() -> None:
    read: dict[str, int] = {}
    for package in (shortlist, shortlist_operator):
        folder = Path(package.__file__ or "").parent
        for file in folder.rglob("*.py"):
            if count := len(wall_clocks_in(file.read_text(encoding="utf-8"))):
                read[str(file.relative_to(folder.parent))] = count
    assert read == {place: count for place, (count, _) in ALLOWED.items()}


@pytest.mark.parametrize(
    "source",
    [
        "import time\nx = time.time() + 5",
        "import datetime as dt\nx = dt.datetime.now(dt.UTC)",
        "import time\ndef f(clock=time.time): ...",
        "from uuid_utils.compat import uuid7\nx = uuid7()",
    ],
)
def test_off_switch_a_wall_clock_is_found(source: str) -> None:
    assert wall_clocks_in(source)


def test_off_switch_a_monotonic_clock_is_none() -> None:
    assert not wall_clocks_in("import time\nx = time.monotonic()")


def rules() -> dict[str, list[str]]:
    """The decision's table: what → the guards that keep it; all but durations, which need none."""
    rows = re.findall(r"^\| (.+) \|$", DECISION.read_text(encoding="utf-8"), re.MULTILINE)
    cells = [row.split(" | ") for row in rows[1:]]
    return {cell[0]: re.findall(r"`(\w+)`", cell[-1]) for cell in cells[1:]}


def test_each_rule_of_the_decision_has_a_guard_that_a_test_switches_off() -> None:
    guards = import_module("testkit.unguarded.guards").GUARDS
    tests = "".join(
        file.read_text(encoding="utf-8")
        for folder in ("services", "operator")
        for file in (REPOSITORY / folder / "tests").rglob("test_*.py")
    )
    found = rules()
    assert len(found) >= 14
    for what, names in found.items():
        assert names, f"{what}: no guard"
        for name in names:
            assert name in guards, f"{what}: {name} is none of unguarded/guards.py"
            assert f'"{name}"' in tests, f"{what}: no test switches {name} off"
