"""The off-switches of the tests' side: a patch that finds its target, and one that does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from testkit.processes.stack import PATCHES, without_guards


def run(names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "print('it runs')"],
        env=without_guards(names),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_process_without_an_off_switch_is_as_it_is() -> None:
    assert run("").stdout == "it runs\n"


@pytest.mark.parametrize("name", ["no_such_guard", ","])
def test_a_guard_that_is_not_there_ends_the_process(name: str) -> None:
    ended = run(name)
    assert ended.returncode == 70
    assert "KeyError" in ended.stderr


# What most patches import is imported once, before each is tried in a process of its own.
APPLY_EACH = """
import os

import shortlist.embedded.up, shortlist.ingest.main, shortlist.maintenance.main
import shortlist.worker.main, shortlist_operator.main
from guards import GUARDS

for name, switch_off in GUARDS.items():
    if (child := os.fork()) == 0:
        switch_off()
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        print(name)
"""


def test_every_guard_is_where_its_patch_looks_for_it() -> None:
    """A patch without its target would only be seen by its own test, which is slow."""
    looked = subprocess.run(
        [sys.executable, "-c", APPLY_EACH],
        env=os.environ | {"PYTHONPATH": str(PATCHES)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (looked.stdout, looked.stderr) == ("", "")
