"""A process that an experiment starts: its output, its CPU time, its memory, its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self, TypeVar

import psutil

from testkit.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")

_PATH = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


class ChildError(RuntimeError):
    """A child did not do what was expected; the message ends with the last lines it printed."""


class Child:
    """One command and whatever processes it starts. A context manager: leaving it kills them.

    All that was to be measured is measured by then, and a graceful end would take longer than that.
    """

    def __init__(self, command: list[str], log: Path, environment: Mapping[str, str]) -> None:
        """Start it at once; both outputs go to ``log``."""
        self.command = command
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 (our own commands)
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": _PATH} | dict(environment),
                start_new_session=True,
            )
        self._root = psutil.Process(self._process.pid)

    def __enter__(self) -> Self:
        """Nothing to do: it runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it."""
        self.kill()

    @property
    def pid(self) -> int:
        """Of the process that we started; it may have children."""
        return self._process.pid

    def tree(self) -> list[psutil.Process]:
        """Return it and its descendants, as far as they live."""
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_seconds(self) -> float:
        """User and system time of the whole tree, as in ``/proc/PID/stat``."""
        times = self._of_each(psutil.Process.cpu_times)
        return sum(time.user + time.system for time in times)

    def resident_bytes(self) -> int:
        """Memory of the whole tree that is in RAM."""
        return sum(info.rss for info in self._of_each(psutil.Process.memory_info))

    def wait(self, timeout_seconds: float) -> None:
        """Wait until it exits by itself, and well."""
        try:
            code = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise ChildError(f"still running after {timeout_seconds:g} s: {self._last()}") from None
        if code:
            raise ChildError(f"exited with {code}: {self._last()}")

    def must_run(self) -> None:
        """Raise if it has exited."""
        if self._process.poll() is not None:
            raise ChildError(f"exited with {self._process.returncode}: {self._last()}")

    def kill(self) -> None:
        """SIGKILL to the whole tree at once, as when its machine dies."""
        for process in self.tree():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait()

    def _of_each(self, measure: Callable[[psutil.Process], T]) -> list[T]:
        measured = []
        for process in self.tree():
            try:
                measured.append(measure(process))
            except psutil.NoSuchProcess:
                continue
        return measured

    def _last(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " ".join(self.command[:6]) + "\n" + "\n".join(lines[-15:])


def python(*arguments: str) -> list[str]:
    """Make a command for this very interpreter."""
    return [sys.executable, *arguments]


def free_port() -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(child: Child, port: int, timeout_seconds: float = 30.0) -> None:
    """Wait until something listens, as long as the child lives."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        child.must_run()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise ChildError(f"nothing listens on port {port}: {child.log}")
