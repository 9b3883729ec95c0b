"""Sees to it that no process outlives the test run that started it, however that run ends.

A small process holds the reading end of a pipe. When the writing end closes, because pytest ended,
was killed, or gave up on a test that hung, it kills what was entrusted to it and all children:
stopped ones too, and those that moved to sessions of their own, as Postgres's backends do.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
from functools import cache

_PROGRAM = """
import psutil, sys

pids = set()
for line in sys.stdin:
    pid = int(line)
    pids.add(pid) if pid > 0 else pids.discard(-pid)
for pid in pids:
    try:
        process = psutil.Process(pid)
        for victim in [process, *process.children(recursive=True)]:
            victim.kill()
    except psutil.NoSuchProcess:
        pass
"""


@cache
def _reaper() -> subprocess.Popen[str]:
    reaper = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C is not for it
    )
    atexit.register(reaper.communicate)
    return reaper


def entrust(pid: int) -> None:
    """Have a process and its children killed when this one is gone."""
    _tell(pid)


def forget(pid: int) -> None:
    """It was waited for, and its number may be somebody else's by now."""
    _tell(-pid)


def _tell(number: int) -> None:
    pipe = _reaper().stdin
    assert pipe is not None
    pipe.write(f"{number}\n")
    pipe.flush()
