"""Two Postgres that a test may break: a primary and its standby, by streaming replication."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from shortlist.embedded.servers import programs
from shortlist.embedded.servers.binaries import postgres_binary
from shortlist.embedded.servers.postgres import EmbeddedPostgres
from testkit.databases.servers import freeze, kill, stop, thaw
from testkit.processes import reaper
from testkit.processes.stack import free_port
from testkit.waiting import until

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

_USING = """
SELECT array_agg(concat_ws(' ', application_name, state, wait_event, query))
FROM pg_stat_activity
WHERE application_name LIKE 'shortlist-%' AND wait_event IS DISTINCT FROM 'SyncRep'
"""
"""Our processes' connections, each with what it does."""


class Postgres:
    """One server on a TCP port of this machine."""

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Data in ``directory``; nothing runs yet. ``settings`` are Postgres's."""
        self.port = port or free_port()
        self._server = EmbeddedPostgres(
            directory,
            settings={
                "listen_addresses": "127.0.0.1", "port": str(self.port), "fsync": "off",
                "wal_keep_size": "64MB", "max_wal_senders": "5", "hot_standby": "on",
                **(settings or {}),
            },
        )  # fmt: skip

    @property
    def data(self) -> Path:
        """Postgres's own data directory."""
        return self._server.data

    @property
    def owner(self) -> int:
        """The user that it runs as."""
        return self._server._owner

    @property
    def socket(self) -> Path:
        """Its socket, beside its port."""
        return self._server.socket_directory / f".s.PGSQL.{self.port}"

    @property
    def password(self) -> str:
        """The owner's password."""
        return self._server.password

    def url(self, port: int | None = None, database: str = "shortlist") -> str:
        """How to reach it, by another port when there is a switch before it."""
        place = f"127.0.0.1:{port or self.port}"
        return f"postgresql://shortlist:{self._server.password}@{place}/{database}"

    async def start(self) -> None:
        """Start it, with the data that it has."""
        server = self._server
        await asyncio.to_thread(server.initialise)
        server.prepare()
        assert server.log is not None
        server.process = programs.start(server.command(), server.log, ())
        reaper.entrust(server.process)
        await until(self._answers, what=f"Postgres on {self.port} answers")

    async def _answers(self) -> bool:
        try:
            return bool(await self.ask("SELECT true", database="postgres"))
        except (OSError, asyncpg.PostgresError):
            return False

    async def copy_to(self, other: Postgres, *, follows: bool = True) -> None:
        """Make another's data by a base backup: a standby's, or as it is now and stays."""
        server, copy = self._server, other._server
        copy.directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(server.directory / "password", copy.directory / "password")
        command = [
            postgres_binary("pg_basebackup"), "-D", str(copy.data), "-X", "stream",
            "-c", "fast", "-d", self.url(database="postgres"), *(["-R"] if follows else []),
        ]  # fmt: skip
        copy.directory.chmod(0o700)
        copy._hand_over()
        await asyncio.to_thread(programs.run, programs.as_ordinary_user(command, server._owner))

    async def ask(self, sql: str, *, database: str = "shortlist") -> Any:
        """The first value that it answers."""
        isolation = {"default_transaction_isolation": "read committed"}  # a standby has no other
        connection = await asyncpg.connect(self.url(database=database), server_settings=isolation)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    async def has_all_of(self, primary: Postgres) -> None:
        """Wait until it has what a primary had when this was called."""
        wanted = await primary.ask("SELECT pg_current_wal_lsn()::text")

        async def look() -> bool:
            sql = f"SELECT pg_last_wal_replay_lsn() >= '{wanted}'::pg_lsn"
            return bool(await self.ask(sql))

        await until(look, what="the standby has caught up")

    async def hear_no_more(self) -> None:
        """Follow the primary no longer; what it has by now is all that it will have."""
        await self.ask("ALTER SYSTEM SET primary_conninfo = ''")
        await self.ask("SELECT pg_reload_conf()")

        async def look() -> bool:
            return not await self.ask("SELECT count(*) FROM pg_stat_wal_receiver")

        await until(look, what="the standby follows no more")

    async def has_recovered(self) -> None:
        """Wait until it takes writes."""

        async def look() -> bool:
            return not await self.ask("SELECT pg_is_in_recovery()")

        await until(look, what="recovery has ended", poll_seconds=0.01)

    async def lead(self) -> None:
        """Become a primary; returns when it takes writes."""
        assert await self.ask("SELECT pg_promote()")

    async def take_no_writes(self) -> None:
        """Be read-only from now on, for the sessions that are open too."""
        await self.ask("ALTER SYSTEM SET default_transaction_read_only = on")
        await self.ask("SELECT pg_reload_conf()")

    async def is_left_alone(self, within_seconds: float) -> None:
        """Wait until none of our processes has a connection to it.

        A backend that waits for its standby does not notice that its client has gone.
        """
        using: list[str] = []

        async def look() -> bool:
            using[:] = await self.ask(_USING) or []
            return not using

        try:
            await until(look, within_seconds=within_seconds, what="the old server is used no more")
        except AssertionError as error:
            raise AssertionError(f"{error}: {'; '.join(using)}") from None

    def freeze(self) -> None:
        """Stop it with all its backends: connections stay open and nothing answers."""
        assert self._server.process is not None
        freeze(self._server.process.pid)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._server.process is not None
        thaw(self._server.process.pid)

    async def stop(self, how: signal.Signals) -> None:
        """Stop it: SIGINT is a fast shutdown, SIGQUIT a crash. `start` brings it back."""
        await stop(self._server, how)

    def kill(self) -> None:
        """End it with all its backends, whatever state it is in."""
        if self._server.process is not None:
            kill(self._server.process.pid)
            self._server.process.wait()
            self._server.process = None


@asynccontextmanager
async def postgreses(
    directory: Path, settings: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Postgres, Postgres]]:
    """A primary and its standby."""
    primary = Postgres(directory / "pg-a", settings=settings)
    standby = Postgres(directory / "pg-b", settings=settings)
    try:
        await primary.start()
        await primary.ask("CREATE DATABASE shortlist", database="postgres")
        await primary.copy_to(standby)
        await standby.start()
        await standby.has_all_of(primary)
        yield primary, standby
    finally:
        primary.kill()
        standby.kill()
