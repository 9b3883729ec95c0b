"""A memory limit around a process, as a pod has it: a cgroup where one can be made.

Where none can (no root, or a cgroup that may not be divided) nothing is limited, and the peak of
the process's own memory says whether a limit would have been exceeded.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path("/sys/fs/cgroup")
_EMPTY_SECONDS = 10.0
_numbers = itertools.count()


@dataclass(frozen=True)
class Pod:
    """Where a process lives that may take so much memory."""

    limit_bytes: int
    cgroup: Path | None
    """None: it is watched only."""

    def enter(self) -> None:
        """Called in the child before it becomes the process."""
        if self.cgroup is not None:
            (self.cgroup / "cgroup.procs").write_text(str(os.getpid()))

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command begins with that is to run in here."""
        if self.cgroup is None:
            return ()
        return ("/bin/sh", "-c", f'echo $$ > {self.cgroup}/cgroup.procs && exec "$0" "$@"')

    def kills(self) -> int:
        """How many processes the kernel has killed for want of memory."""
        if self.cgroup is None:
            return 0
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                words = (self.cgroup / name).read_text().split()
                return int(words[words.index("oom_kill") + 1])
        return 0


@contextlib.contextmanager
def pod(limit_bytes: int) -> Iterator[Pod]:
    """A pod for the length of the block; what still lives in it then must be about to end."""
    cgroup = _made(limit_bytes)
    try:
        yield Pod(limit_bytes, cgroup)
    finally:
        if cgroup is not None:
            _remove(cgroup)


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had of its own."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _made(limit_bytes: int) -> Path | None:
    """A part of our own cgroup, so that what limits us limits it."""
    name = f"shortlist-test-{os.getpid()}-{next(_numbers)}"
    for parent, limit in _parents():
        cgroup = parent / name
        try:
            cgroup.mkdir()
        except OSError:
            continue
        try:
            with (cgroup / limit).open("r+") as file:  # where it is no cgroup there is no file
                file.write(str(limit_bytes))
        except OSError:
            cgroup.rmdir()
            continue
        with contextlib.suppress(OSError):  # no swap beside it
            (cgroup / "memory.swap.max").write_text("0")
        return cgroup
    return None


def _parents() -> Iterator[tuple[Path, str]]:
    for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            yield _ROOT / path.strip("/"), "memory.max"
        elif "memory" in controllers.split(","):
            yield _ROOT / "memory" / path.strip("/"), "memory.limit_in_bytes"


def _remove(cgroup: Path) -> None:
    deadline = time.monotonic() + _EMPTY_SECONDS
    while True:
        try:
            cgroup.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
