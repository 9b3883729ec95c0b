"""What a process imports before it is needed: nothing heavy, and politely."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from shortlist.cli.loading import PROCESSES, STARTING_NICE

HEAVY = {
    "fastapi",
    "shortlist.hiring.views",
    "pydantic_settings",
    "opentelemetry.metrics",
    "opentelemetry.sdk",
    "rich",
    "pygments",
    "anthropic",
    "httpx2",
    "alembic",
    "sqlalchemy",
    "psutil",
}
"""Each takes a tenth of a start or more; a module that needs one imports it then."""

EVERYWHERE = {
    **{process: f"shortlist.{process}.main" for process in PROCESSES},
    "up": "shortlist.embedded.up",
    "supervisor": "shortlist.embedded.scaling.scaler",
    "operator": "shortlist_operator.main",
}


def _imported(program: str) -> set[str]:
    """The modules that a fresh interpreter has after a program."""
    return set(json.loads(_said(f"{program}; import json, sys; print(json.dumps([*sys.modules]))")))


def _said(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize("module", EVERYWHERE.values(), ids=EVERYWHERE)
def test_nothing_heavy_is_imported_before_it_is_needed(module: str) -> None:
    assert not _imported(f"import {module}") & HEAVY


def test_off_switch_without_the_lean_finder_it_would_be() -> None:
    spoiled = "import sys, shortlist; sys.meta_path.pop(0); import shortlist.worker.main"
    assert _imported(spoiled) & HEAVY == {
        "opentelemetry.metrics", "opentelemetry.sdk", "rich", "pygments", "psutil",
    }  # fmt: skip


def test_what_was_left_out_is_there_for_those_who_need_it() -> None:
    assert {"rich", "opentelemetry.sdk"} <= _imported(
        "import shortlist.worker.main, rich.console, opentelemetry.sdk.trace"
    )


def test_a_process_without_flags_needs_no_command_lines_library() -> None:
    imported = _imported("from shortlist.cli.loading import load; load('worker')")
    assert "shortlist.worker.main" in imported
    assert "typer" not in imported


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a priority is a process's")
@pytest.mark.parametrize(("process", "nice"), [("worker", STARTING_NICE), ("ingest", 0)])
def test_whatever_is_not_the_front_door_is_imported_at_low_priority(
    process: str, nice: int
) -> None:
    spy = """
import os, sys, threading
class Spy:
    def find_spec(self, name, path=None, target=None):
        if name == "asyncpg":
            print(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
sys.meta_path.insert(0, Spy())
from shortlist.cli.loading import load
"""
    said = _said(f"{spy}load({process!r}); print(os.getpriority(os.PRIO_PROCESS, 0))")
    assert said.split() == [str(nice), "0"]
