"""The off-switches of the tests' side: a patch that finds its target, and one that does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from testkit.processes.stack import without_guards


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
