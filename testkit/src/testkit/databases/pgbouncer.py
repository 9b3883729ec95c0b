"""The real PgBouncer, as its package brings it: its defaults, and transaction mode."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from shortlist.embedded.servers.binaries import postgres_binary
from shortlist.embedded.servers.programs import as_ordinary_user, run
from testkit.processes import reaper
from testkit.processes.stack import free_port
from testkit.waiting import until

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Protocol

    class Server(Protocol):
        """A Postgres, as a pooler before it needs to know it."""

        @property
        def password(self) -> str:
            """The owner's password."""


_ELSEWHERE = "/usr/sbin"
"""Where its package puts it, which is on root's PATH only."""

_CONFIGURATION = """
[databases]
* = host={host} port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = transaction
auth_type = scram-sha-256
auth_file = {users}
admin_users = shortlist
{more}
"""


def program() -> str:
    """Where ``pgbouncer`` is. Without it the test is skipped; CI must have it."""
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:{_ELSEWHERE}")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("pgbouncer is missing (Debian's package pgbouncer)")
    return found or pytest.skip("pgbouncer is not installed (Debian's package pgbouncer)")


@dataclass
class PgBouncer:
    """One PgBouncer before a Postgres of the test's; the same port after a restart."""

    directory: Path
    server: Server
    host: str
    """Where Postgres is: the directory of its socket, or an address."""
    server_port: int = 5432
    more: str = ""
    """Lines of configuration: none is needed."""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """A database through it, as a provider would hand it out."""
        password = quote(self.server.password, safe="")
        return f"postgres://shortlist:{password}@127.0.0.1:{self.port}/{database}?pgbouncer=true"

    @property
    def log(self) -> str:
        """All that it said."""
        return self._log.read_text(encoding="utf-8")

    @property
    def _log(self) -> Path:
        return self.directory / "pgbouncer.log"

    async def lead_to(self, server_port: int) -> None:
        """Have it lead to another server, as its administrator would after a failover."""
        self.server_port = server_port
        self._configure()
        await self._tell("RELOAD")
        await self._tell("RECONNECT")

    async def _tell(self, command: str) -> None:
        psql = [postgres_binary("psql"), "-X", "-h", "127.0.0.1", "-p", str(self.port)]
        psql += ["-U", "shortlist", "-d", "pgbouncer", "-c", command]
        await asyncio.to_thread(run, psql, {"PGPASSWORD": self.server.password})

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self._spawn()
        await until(self._listens, what=f"PgBouncer listens: {self.log[-500:]}")

    def _configure(self) -> Path:
        self.directory.mkdir(exist_ok=True)
        users, configuration = self.directory / "users", self.directory / "pgbouncer.ini"
        users.write_text(f'"shortlist" "{self.server.password}"\n', encoding="utf-8")
        text = _CONFIGURATION.format(
            host=self.host, server_port=self.server_port, port=self.port, users=users,
            more=self.more,
        )  # fmt: skip
        configuration.write_text(text, encoding="utf-8")
        return configuration

    def _spawn(self) -> None:
        configuration = self._configure()
        command = as_ordinary_user([program(), str(configuration)])  # it refuses root, too
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        reaper.entrust(self.process)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it; every connection through it breaks."""
        assert self.process is not None
        self.process.send_signal(how)
        await asyncio.to_thread(self.process.wait)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True
