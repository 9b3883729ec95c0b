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
from contextlib import suppress

entrusted = []
for line in sys.stdin:
    with suppress(psutil.NoSuchProcess):
        entrusted.append(psutil.Process(int(line)))  # knows it by its start time too
for process in entrusted:
    with suppress(psutil.NoSuchProcess):
        for victim in [process, *process.children(recursive=True)]:
            victim.kill()
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


def entrust(process: subprocess.Popen[bytes] | None) -> None:
    """Have a process that was just started, and its children, killed when this one is gone."""
    pipe = _reaper().stdin
    assert process is not None
    assert pipe is not None
    pipe.write(f"{process.pid}\n")
    pipe.flush()
