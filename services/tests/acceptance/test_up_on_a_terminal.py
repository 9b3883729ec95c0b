"""`shortlist up` on a terminal: the live panel, and Ctrl-C as a terminal sends it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
import pytest

from testkit.processes import reaper
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

CTRL_C, CTRL_Q, CTRL_S = b"\x03", b"\x11", b"\x13"


@dataclass
class Terminal:
    """A pseudo-terminal, and what was written to it."""

    descriptor: int
    process: subprocess.Popen[bytes]
    written: bytearray = field(default_factory=bytearray)

    @property
    def text(self) -> str:
        return self.written.decode(errors="replace")

    def keep_reading(self) -> None:
        with suppress(OSError):  # it is closed
            while chunk := os.read(self.descriptor, 65_536):
                self.written += chunk

    async def shows(self, words: str) -> None:
        async def look() -> bool:
            return words in self.text

        await until(look, within_seconds=90, what=f"{words!r} is shown: {self.text[-3000:]}")

    async def ended(self) -> int:
        async def look() -> bool:
            return self.process.poll() is not None

        await until(look, within_seconds=90, what=f"it ends: {self.text[-3000:]}")
        return int(self.process.returncode)


@contextmanager
def on_a_terminal(directory: Path, *arguments: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 110, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "shortlist", "up", "--port", "0", *arguments],
        cwd=directory,
        env=os.environ | {"TERM": "xterm", "SHORTLIST_SERVICE_SECONDS": "0.2"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_take_terminal,  # noqa: PLW1509 (one system call, and no lock that it wants)
    )
    reaper.entrust(process)
    os.close(theirs)
    terminal = Terminal(ours, process)
    reading = threading.Thread(target=terminal.keep_reading, daemon=True)
    reading.start()
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        reading.join(10)
        os.close(ours)


async def test_the_panel_lives_and_ctrl_c_drains(tmp_path: Path) -> None:
    with on_a_terminal(tmp_path, "--demo", "--workers", "2") as terminal:
        for words in ("in flight", "connections", "p99", "2/2", "maintenance", "running 0:0"):
            await terminal.shows(words)
        os.write(terminal.descriptor, CTRL_C)
        await terminal.shows("Drained.")
        assert await terminal.ended() == 0
        assert "^C" not in terminal.text
        assert "is started again" not in terminal.text, "Ctrl-C reached the children"


async def test_a_paused_terminal_does_not_keep_the_dead_from_being_replaced(
    tmp_path: Path,
) -> None:
    with on_a_terminal(tmp_path, "--workers", "2") as terminal:
        await terminal.shows("2/2")
        os.write(terminal.descriptor, CTRL_S)

        async def is_paused() -> bool:
            before = len(terminal.written)
            await asyncio.sleep(1.5)  # the panel is drawn each second
            return len(terminal.written) == before

        await until(is_paused, within_seconds=30, what="the terminal is paused")
        paused_at = len(terminal.written)
        workers = _workers(terminal)
        workers[0].kill()

        async def replaced() -> bool:
            return len(_workers(terminal)) == 2 and workers[0] not in _workers(terminal)

        await until(replaced, within_seconds=60, what="a successor")
        assert len(terminal.written) == paused_at
        os.write(terminal.descriptor, CTRL_Q + CTRL_C)
        assert await terminal.ended() == 0


def _workers(terminal: Terminal) -> list[psutil.Process]:
    children = psutil.Process(terminal.process.pid).children()
    return [child for child in children if "worker" in _arguments(child)]


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
