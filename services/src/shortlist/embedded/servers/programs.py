"""How the servers' programs are run, as which user, and what their last output means."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from shortlist.domain.errors import ShortlistError
from shortlist.embedded.servers import tether
from shortlist.embedded.servers.ownership import NOBODY_UID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_SHUTDOWN_SECONDS = 20.0
_POSTGRES_PROGRAMS = frozenset({"initdb", "postgres", "psql"})

_POSTGRES = "PG"
"""What libpq's variables begin with (PGHOST, PGSSLMODE …); those of initdb and postgres, too."""


class ServerError(ShortlistError, RuntimeError):
    """A server cannot run; the message says what to do about it."""


def tethered(
    command: Iterable[str], *, parent: int | None = None, death: signal.Signals = signal.SIGKILL
) -> list[str]:
    """Return the command tied to a parent's life: it gets ``death`` when the parent is gone.

    It must be started by the parent's main thread: for the kernel, a thread is the parent.
    """
    whole, prefix = list(command), _tether()
    flags = ["--die-with", str(parent or os.getpid()), str(int(death))]
    if (
        whole[: len(prefix)] == prefix
    ):  # entering a namespace may undo the tie: one script, in order
        return [*prefix, *flags, *whole[len(prefix) :]]
    return [*prefix, *flags, "--", *whole]


def as_ordinary_user(command: list[str], owner: int | None = None) -> list[str]:
    """Return the command run as the owner of its files, because Postgres refuses root.

    ``owner``: as `file_owner` says; without one, whichever user can be had.
    """
    if os.geteuid() != 0:
        return command
    if owner == NOBODY_UID or (owner is None and not has_namespaces()):
        return [*_tether(), "--as-user", str(NOBODY_UID), "--", *command]
    if not has_namespaces():
        raise ServerError(
            "Postgres does not run as root, its data is root's, and this system lets root make no "
            "user namespaces, as the one did where the data was made. Run shortlist there, or use "
            "another --data."
        )
    return [*_tether(), "--in-namespace", "--", *command]


def file_owner(data: Path) -> int:
    """Return whose Postgres's files are, or will be: what is there keeps its owner."""
    me = os.geteuid()
    if me != 0:
        return me
    if data.exists():
        return NOBODY_UID if data.stat().st_uid == NOBODY_UID else me
    return me if has_namespaces() else NOBODY_UID


@cache
def has_namespaces() -> bool:
    """Tell whether the system lets root make user namespaces; many containers do not."""
    probe = [*_tether(), "--in-namespace", "--", sys.executable, "-I", "-S", "-c", ""]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


class AlreadyExistsError(ServerError):
    """What was to be made is there."""


def _tether() -> list[str]:
    return [sys.executable, "-I", "-S", tether.__file__]


def refuse_unreachable(owner: int, *paths: str) -> None:
    """Raise when the user that Postgres runs as cannot get at its programs or its directory."""
    for path in paths:
        probe = as_ordinary_user(["/bin/sh", "-c", 'test -x "$0"', path], owner)
        if subprocess.run(probe, capture_output=True, check=False).returncode:
            raise ServerError(
                "Postgres does not run as root, this system lets root make no user namespaces, and "
                f"the user that it would run as cannot reach {path}. Run shortlist as an ordinary "
                "user, or from a directory that others may enter, or set DATABASE_URL."
            )


def runs_on(pid: int, directory: Path) -> bool:
    """Tell whether a process lives that was told to work on ``directory``."""
    with suppress(OSError):
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return os.fsencode(directory) in arguments
    return False


def environment() -> dict[str, str]:
    """Our own, without what tells Postgres's programs and clients of another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_POSTGRES)}


def forget_other_postgres() -> None:
    """Have this process, and those that it starts, know of no Postgres but by its URL."""
    for name in os.environ.keys() - environment().keys():
        del os.environ[name]


def run(
    command: list[str],
    variables: Mapping[str, str] | None = None,
    inherited: tuple[int, ...] = (),
) -> str:
    """Run a program to its end; what it said, or a `ServerError`. ``variables``: further ones."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment() | dict(variables or {}),
        check=False,
        pass_fds=inherited,
        start_new_session=True,  # a Ctrl-C is for the supervisor alone
    )
    if done.returncode:
        _raise_for(command, done.stderr.strip())
    return done.stdout


def _raise_for(command: list[str], output: str) -> None:
    if "already exists" in output:
        raise AlreadyExistsError(output)
    program = next(name for word in command if (name := Path(word).name) in _POSTGRES_PROGRAMS)
    raise ServerError(_translate(f"{program} failed", output[-500:]))


def start(command: list[str], log: Path, inherited: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """Start a server whose output goes to ``log``."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment(),
            start_new_session=True,
            pass_fds=inherited,
        )


def wait_until(
    is_ready: Callable[[], bool],
    process: subprocess.Popen[bytes],
    timeout_seconds: float,
    why_not: Callable[[], str],
) -> None:
    """Wait until a server is ready, or raise a `ServerError` that says why it is not."""
    deadline = time.monotonic() + timeout_seconds
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServerError(why_not())
        time.sleep(0.01)


def stop(process: subprocess.Popen[bytes] | None, how: signal.Signals) -> None:
    """Ask a server to end, and make it when it does not."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(_SHUTDOWN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def explain(server: str, log: Path) -> str:
    """Return why a server does not run, from the end of its log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return _translate(f"{server} does not run", " / ".join(lines[-5:])[-600:] or "it said nothing")


def _translate(what: str, output: str) -> str:
    """Turn a program's last output into a sentence that says what to do, where it is known."""
    if "shared memory" in output:  # first: it says "No space left on device" as well
        return f"{what}: /dev/shm is too small. Give the container more shared memory. {output}"
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return f"{what}: the disk is full. Free some space, or use --data on another disk."
    return f"{what}: {output}"
