"""Postgres and Redis behind names that come to mean other servers, and proxies that refuse.

A process reaches each server through a proxy, which can have it refuse a step, and a switch, which
leads to the server that is the primary now. Both servers live by clocks that a fault may set.
"""

from __future__ import annotations

import itertools
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.storage import postgres
from shortlist.storage.postgres.queries import pipelines
from testkit.databases.postgreses import Postgres
from testkit.databases.switch import Switch
from testkit.databases.urls import migrated
from testkit.databases.valkeys import Valkey
from testkit.proxies.postgres import PostgresProxy
from testkit.proxies.redis import RedisProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from testkit.processes.faketime import Clock

LINE_CAPACITY = 200
"""A burst is refused in part, and what was accepted is scored within ten seconds."""

_VALKEY_FLAGS = ("--save", "", "--appendonly", "yes")


@dataclass
class Site:
    """The servers that a chaos run breaks and replaces."""

    directory: Path
    clocks: dict[str, Clock]
    postgres: Postgres
    valkey: Valkey
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(2))

    def __post_init__(self) -> None:
        """Nothing listens yet; both servers run."""
        self.postgres_name = Switch(self.postgres.port)
        self.valkey_name = Switch(self.valkey.port)
        self.postgres_proxy = PostgresProxy(self.database_url)
        self.valkey_proxy = RedisProxy(f"redis://127.0.0.1:{self.valkey_name.port}/0")

    @property
    def database_url(self) -> str:
        """As the owner, of whatever server is the primary; no step is refused there."""
        return f"{self.postgres.url(self.postgres_name.port)}?sslmode=disable"

    async def administer(self, *statements: str) -> None:
        """Run statements as the owner, each by itself."""
        url = self.postgres.url(database="postgres")
        connection = await postgres.connect(url, application_name="chaos")
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    async def standby(self) -> Postgres:
        """Start a standby that follows the primary; it has all that is committed from now on."""
        standby = Postgres(self.directory / f"postgres-{next(self.numbers)}")
        await self.postgres.copy_to(standby)
        await start(self.clocks, standby)
        await self.administer(
            "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"
        )
        await standby.has_all_of(self.postgres)
        return standby

    def become_postgres(self, server: Postgres) -> None:
        """From now on the name means this server."""
        self.postgres = server
        self.postgres_name.target = server.port

    async def replica(self) -> Valkey:
        """Start a replica that has what the primary has."""
        replica = Valkey(self.directory, *_VALKEY_FLAGS)
        await start(self.clocks, replica)
        await replica.follow(self.valkey.port)
        await replica.has_all_of(self.valkey)
        return replica

    def become_valkey(self, server: Valkey) -> None:
        """From now on the name means this server."""
        self.valkey = server
        self.valkey_name.target = server.port


async def start(clocks: dict[str, Clock], server: Postgres | Valkey) -> None:
    """Start a server, which lives by the clock of its kind from then on."""
    with clocks["postgres" if isinstance(server, Postgres) else "redis"].lived_by():
        await server.start()


@asynccontextmanager
async def site_in(directory: Path, clocks: dict[str, Clock]) -> AsyncIterator[Site]:
    """Start the first two servers, with the schema in place."""
    first, valkey = Postgres(directory / "postgres-1"), Valkey(directory, *_VALKEY_FLAGS)
    async with AsyncExitStack() as stack:
        stack.callback(first.kill)
        stack.callback(valkey.kill)
        await start(clocks, first)
        await start(clocks, valkey)
        site = Site(directory, clocks, first, valkey)
        stack.callback(lambda: site.postgres.kill())  # noqa: PLW0108 (whichever it is by then)
        stack.callback(lambda: site.valkey.kill())  # noqa: PLW0108
        await site.administer("CREATE DATABASE shortlist")
        for way in (site.postgres_name, site.valkey_name, site.postgres_proxy, site.valkey_proxy):
            await stack.enter_async_context(way)
        await migrated(site.database_url)
        await _bound_the_line(site.database_url)
        yield site


async def _bound_the_line(url: str) -> None:
    connection = await postgres.connect(url, application_name="chaos")
    await pipelines.configure(connection, DEFAULT_PIPELINE, LINE_CAPACITY)
    await connection.close()
