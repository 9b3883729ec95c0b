"""The directory that keeps everything of one `shortlist up`: one user at a time, no orphans.

lock            held (flock) by the supervisor that runs; says which process that is
children.lock   held by every process that the supervisor started, through an inherited
                descriptor: the kernel knows better than any pid file who is still alive
env             the servers' URLs, for other commands
postgres/ redis/ logs/
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shortlist.embedded.servers import ownership
from shortlist.embedded.servers.ownership import DataDirectoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["DataDirectory", "DataDirectoryError", "holders", "megabytes", "opened"]

FRESH_BYTES = 256 * 2**20
"""A new Postgres takes about 60 MB, its WAL up to 80 MB more before it is reused; and some room."""

RESTART_BYTES = 48 * 2**20
"""Three WAL segments: less, and Postgres may not even recover."""

LOW_BYTES = 128 * 2**20
"""Below this a person should look at the disk."""

_ORPHAN_GRACE_SECONDS = 8.0
"""Postgres gives its own processes 5 s when it is told to quit at once."""

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class DataDirectory:
    """An opened, locked data directory."""

    root: Path
    children_lock: int
    """The descriptor that children inherit."""

    @property
    def postgres(self) -> Path:
        """Where Postgres keeps its data."""
        return self.root / "postgres"

    @property
    def redis(self) -> Path:
        """Where Redis keeps its data."""
        return self.root / "redis"

    @property
    def logs(self) -> Path:
        """One log for each child."""
        return self.root / "logs"

    def log(self, name: str) -> Path:
        """Return the log of one child."""
        return self.logs / f"{name}.log"

    @property
    def environment(self) -> Path:
        """How other commands reach the servers: ``NAME=value`` lines, for the owner's eyes."""
        return self.root / "env"

    def write_environment(self, variables: Mapping[str, str]) -> None:
        """Write `environment`."""
        self.environment.touch(mode=0o600)
        lines = [f"{name}={value}\n" for name, value in variables.items()]
        self.environment.write_text("".join(lines), encoding="utf-8")

    def free_bytes(self) -> int:
        """Return what an ordinary user may still write on this disk."""
        return shutil.disk_usage(self.root).free

    def refuse_a_full_disk(self) -> None:
        """Raise when there is too little room to start."""
        needed = RESTART_BYTES if self.postgres.exists() else FRESH_BYTES
        if (free := self.free_bytes()) < needed:
            raise DataDirectoryError(
                f"The disk of {self.root} is full: {megabytes(free)} are free and "
                f"{megabytes(needed)} are needed. Free some space, or use --data on another disk."
            )


def read_environment(root: Path) -> dict[str, str]:
    """Read what `DataDirectory.write_environment` wrote of a ``shortlist up``'s servers."""
    path = root / "env"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataDirectoryError(
            f"{root} is not the data directory of a shortlist up that has started: its file env "
            f"cannot be read ({getattr(error, 'strerror', None) or 'no UTF-8'})."
        ) from None
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    if missing := {"DATABASE_URL", "REDIS_URL"} - found.keys():
        raise DataDirectoryError(f"{path} does not say {' and '.join(sorted(missing))}.")
    return found


def has_postgres(root: Path) -> bool:
    """Tell whether a ``shortlist up`` keeps a Postgres of its own there."""
    return (root / "postgres" / "data").is_dir()


@contextmanager
def opened(root: Path) -> Iterator[DataDirectory]:
    """Have a data directory to oneself. Waits for orphans of a killed predecessor. Blocks."""
    with ExitStack() as descriptors:
        with _explained(root):
            root = root.resolve()
            if root.exists() and not root.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(root))
            ownership.refuse_what_is_not_ours(root)
            ownership.refuse_what_others_may_write(root)
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            (root / "logs").mkdir(exist_ok=True, mode=0o700)
            descriptors.callback(os.close, _locked(root / "lock", root))
            children_lock = _open(root / "children.lock")
            descriptors.callback(os.close, children_lock)
            _outlast_orphans(children_lock, root / "children.lock")
        yield DataDirectory(root, children_lock)


def megabytes(count: int) -> str:
    """Format a size for people."""
    return f"{count / 2**20:.0f} MB"


def holders(path: Path) -> list[int]:
    """Find processes, other than this one, that have a file open."""
    found = {int(pid.name) for pid in Path("/proc").glob("[0-9]*") if _has_open(pid, path)}
    return sorted(found - {os.getpid()})


def _has_open(process: Path, path: Path) -> bool:
    """Tell if a process of /proc has a file open. It, or the descriptor, may go meanwhile."""
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        with suppress(OSError):
            if descriptor.readlink() == path:
                return True
    return False


def _locked(path: Path, root: Path) -> int:
    descriptor = _open(path)
    if not _try_lock(descriptor):
        pid = os.pread(descriptor, 20, 0).decode().strip() or "unknown"
        os.close(descriptor)
        raise DataDirectoryError(
            f"{root} is in use by another shortlist up (process {pid}). Stop that one, or use "
            "another directory with --data."
        )
    os.ftruncate(descriptor, 0)
    with suppress(OSError):  # a full disk: the number is for people only
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _outlast_orphans(descriptor: int, path: Path) -> None:
    """Wait until every process of a former run is gone, and make it go when it takes too long."""
    deadline = time.monotonic() + _ORPHAN_GRACE_SECONDS
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            for pid in holders(path):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    """Explain what may be wrong with a directory, in words."""
    try:
        yield
    except PermissionError as error:
        raise DataDirectoryError(
            f"{error.filename or root} is not ours to read and write. Run as its owner, or use "
            "another --data."
        ) from error
    except (FileExistsError, NotADirectoryError) as error:
        raise DataDirectoryError(f"{root} is no directory. Use another --data.") from error
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise DataDirectoryError(
                f"{root} cannot be a data directory: {why}. Use another --data."
            ) from error
        raise DataDirectoryError(
            f"Nothing can be written to {root}: {why}. Free some space, or use --data on another "
            "disk."
        ) from error
