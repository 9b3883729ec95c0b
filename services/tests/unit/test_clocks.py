"""No decision is made by a wall clock: each place that reads one stands here, with its reason."""

from __future__ import annotations

import ast
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
    "shortlist/embedded/screen.py": (3, "what a person reads beside a sentence"),
    "shortlist/ingest/ids.py": (1, "an id before Postgres was ever heard of: nothing is accepted"),
    "shortlist/worker/main.py": (3, "its own id, and times in its heartbeat that people read"),
    "shortlist/worker/control.py": (1, "a heartbeat: readers look only at whether it changes"),
    "shortlist_operator/lease.py": (1, "Lease.renewTime: readers look only at its changes"),
    "shortlist_operator/reporting.py": (2, "conditions and events: for people"),
}


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
