"""Postgres and Redis that a test may break, without stopping the event loop meanwhile."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from shortlist.embedded.servers.postgres import EmbeddedPostgres
from shortlist.embedded.servers.valkey import EmbeddedRedis
from shortlist.storage import postgres, redis
from testkit.databases.urls import migrated
from testkit.processes import reaper
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass
class Servers:
    """One Postgres and one Redis of a test's own."""

    postgres: EmbeddedPostgres
    redis: EmbeddedRedis

    @classmethod
    async def start(cls, directory: Path, *, redis_binary: str | None = None) -> Servers:
        """Start both, with the schema in place."""
        servers = cls(
            # Tests kill processes, not machines: the kernel keeps what was written.
            EmbeddedPostgres(directory / "postgres", settings={"fsync": "off"}),
            EmbeddedRedis(directory / "redis", binary=redis_binary),
        )
        await asyncio.gather(servers.start_postgres(), servers.start_redis())
        await migrated(servers.postgres.url)
        return servers

    async def start_postgres(self) -> None:
        """Start it, with the data that it had."""
        await asyncio.to_thread(self.postgres.start)
        reaper.entrust(self.postgres.process)

    async def stop_postgres(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT is a fast shutdown; SIGQUIT and SIGKILL are crashes."""
        await stop(self.postgres, how)

    async def start_redis(self) -> None:
        """Start it, with the data that it had."""
        await asyncio.to_thread(self.redis.start)
        reaper.entrust(self.redis.process)

    async def stop_redis(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it: SIGTERM saves what it has, SIGKILL is a crash."""
        await asyncio.to_thread(self.redis.stop, how)

    def freeze_redis(self) -> None:
        """Stop it: connections stay open and nothing answers."""
        assert self.redis.process is not None
        self.redis.process.send_signal(signal.SIGSTOP)

    def thaw_redis(self) -> None:
        """Let it go on."""
        assert self.redis.process is not None
        self.redis.process.send_signal(signal.SIGCONT)

    def freeze_postgres(self) -> None:
        """Stop it with all its backends: connections stay open and nothing answers."""
        assert self.postgres.process is not None
        freeze(self.postgres.process.pid)

    def thaw_postgres(self) -> None:
        """Let it go on."""
        assert self.postgres.process is not None
        thaw(self.postgres.process.pid)

    async def stop(self) -> None:
        """Stop both, in whatever state they are."""
        if self.postgres.process is not None:
            self.thaw_postgres()
            await self.stop_postgres(signal.SIGQUIT)
        if self.redis.process is not None:
            await self.stop_redis(signal.SIGKILL)


async def flush(redis_url: str) -> None:
    """Have a Redis forget everything."""
    client = redis.connect(redis_url, timeout_seconds=5)
    await client.flushall()
    await client.aclose()


async def terminate_backends(database_url: str, *, of: str = "") -> int:
    """Cut every connection to a database, as a failover would; how many there were.

    With ``of`` only those whose application name begins so.
    """
    name = database_url.partition("?")[0].rpartition("/")[2]
    admin = await postgres.connect(
        database_url.replace(f"/{name}?", "/postgres?"), application_name="test"
    )
    try:
        ended = await admin.fetch(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = $1 AND starts_with(application_name, $2)
            """,
            name,
            of,
        )
    finally:
        await admin.close()
    return len(ended)


async def stop(server: EmbeddedPostgres, how: signal.Signals) -> None:
    """End a Postgres; returns when its backends are gone, too."""
    assert server.process is not None
    family = _family(server.process.pid)
    await asyncio.to_thread(server.stop, how)
    await _all_gone(family)


def freeze(pid: int) -> None:
    """Stop a server with all its children."""
    _signal_all(_family(pid), signal.SIGSTOP)


def thaw(pid: int) -> None:
    """Let it go on."""
    _signal_all(_family(pid), signal.SIGCONT)


def kill(pid: int) -> None:
    """End a server with all its children."""
    with suppress(psutil.NoSuchProcess):
        _signal_all(_family(pid), signal.SIGKILL)


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


async def _all_gone(family: list[psutil.Process]) -> None:
    """A backend that outlives its postmaster for a moment would keep the next one from starting."""

    async def look() -> bool:
        return not any(process.is_running() for process in family)

    await until(look, what="Postgres's backends are gone")
