"""What `shortlist up` refuses before it starts anything: in a sentence, and with the right code."""

from __future__ import annotations

import resource
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from shortlist.embedded.scaling.machine import FEWEST_FILES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def up(
    directory: Path, *arguments: str, prepare: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shortlist", "up", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=prepare,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--data", ""], 2, "--data is empty"),
        (["--data", "/proc/x"], 1, "/proc/x cannot be a data directory"),
        (["--data", "/dev/null"], 1, "/dev/null is no directory"),
        (["--data", "y" * 300], 1, "cannot be a data directory: File name too long"),
        (["--host", ""], 2, "--host: is empty; 127.0.0.1 is for this machine alone"),
        (["--host", " "], 2, "--host: is empty"),
        (["--host", "a b"], 1, "a b is no address of this machine"),
        (["--host", "no.such.host.invalid"], 1, "is no address of this machine"),
        (["--host", "203.0.113.7"], 1, "203.0.113.7 is no address of this machine"),
        (["--host", "::zz"], 1, "::zz is no address of this machine"),
    ],
)
def test_what_cannot_be_used_is_told(
    tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    ended = up(tmp_path, "--port", "0", *arguments)
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode == code


def test_too_few_open_files_are_told_with_the_number_needed(tmp_path: Path) -> None:
    ended = up(tmp_path, prepare=partial(_limit_files, 128))
    assert (
        f"Only 128 files may be open at once (ulimit -Hn), and {FEWEST_FILES} are" in ended.stderr
    )
    assert ended.returncode == 1
    assert list(tmp_path.iterdir()) == []


def _limit_files(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
