"""A simulated scorer that some payloads are poison for: not a guard, but started in the same way.

A payload that begins with ``!crash``, ``!segfault``, ``!loop`` or ``!memory`` ends the process that
scores it as the kernel's OOM killer, a bug in a parser, an endless loop and a leak do. The loop
ends by the watchdog, the leak by a worker's surroundings (`testkit.processes.kubelet`) or by a
scoring process's own limit. ``!outside`` ends the worker, wherever it is scored. What begins with
``!nul`` gets a score whose details Postgres cannot hold, and any other payload is scored as always.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

LEAK_BYTES = 8 * 2**20
DEADLY_AFTER_SECONDS = 0.1


def crash() -> None:
    """As the kernel's OOM killer: without any output."""
    os.kill(os.getpid(), signal.SIGKILL)


def segfault() -> None:
    """As a parser that reads where nothing is."""
    ctypes.string_at(0)


def outside() -> None:
    """Its worker dies, in whichever process it is scored: as one whose limit of memory ends all."""
    parent = os.getppid()
    is_forked = b"fork_server" in Path(f"/proc/{parent}/cmdline").read_bytes()
    worker = _parent_of(parent) if is_forked else os.getpid()
    os.kill(worker, signal.SIGKILL)


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])


def loop() -> None:
    """Never ends, and keeps the interpreter's lock: a match that backtracks (2^64 ways)."""
    re.match(r"(a+)+$", "a" * 64 + "b")


def memory() -> NoReturn:
    """Grows until something ends it; the event loop is blocked, as by any parser that does so."""
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1024)) * (LEAK_BYTES // 1024))
        time.sleep(0.01)


DEATHS: dict[str, Callable[[], None]] = {
    "!crash": crash,
    "!segfault": segfault,
    "!outside": outside,
    "!loop": loop,
    "!memory": memory,
}


def deadly(score: Any) -> Any:
    """The scorer's method, and what it does to some payloads."""

    async def deadly_score(self: Any, payload: str) -> Any:
        if (death := DEATHS.get(payload.partition(" ")[0])) is not None:
            await asyncio.sleep(DEADLY_AFTER_SECONDS)
            death()
        given = await score(self, payload)
        if payload.startswith("!nul "):
            given.detail["rationale"] = "It says \x00 and \ud800."
        return given

    return deadly_score
