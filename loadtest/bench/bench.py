"""What an experiment is given: real servers, a fresh place in them, and how much to do."""

from __future__ import annotations

import asyncio
import itertools
import sys
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import asyncpg
import redis

from loadtest.bench.child import Child, free_port
from shortlist.embedded.servers.postgres import EmbeddedPostgres
from shortlist.embedded.servers.valkey import EmbeddedRedis
from shortlist.storage.postgres import migrate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
    from pathlib import Path

T = TypeVar("T")

REDIS_DATABASES = 16
"""What Redis has unless told otherwise; places take turns in them."""


@dataclass(frozen=True, slots=True)
class Place:
    """An empty database and an empty Redis, for one subject at a time."""

    database_url: str
    redis_url: str

    @property
    def environment(self) -> dict[str, str]:
        """How our own processes are told."""
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}

    async def connect(self) -> asyncpg.Connection[asyncpg.Record]:
        """Connect to the database."""
        return await asyncpg.connect(self.database_url)

    def redis(self) -> redis.Redis:
        """Make a client of the Redis."""
        return redis.Redis.from_url(self.redis_url)


@dataclass
class Bench:
    """Servers with honest commits (fsync is on), and children that log into ``directory``."""

    directory: Path
    quick: bool
    postgres: EmbeddedPostgres = field(init=False)
    _redis: EmbeddedRedis = field(init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        """All contenders reach Redis by TCP: some peers cannot do otherwise."""
        self.postgres = EmbeddedPostgres(
            self.directory / "postgres", settings={"max_connections": "400", "max_wal_size": "4GB"}
        )
        self._redis = EmbeddedRedis(self.directory / "redis", port=free_port())

    def scale(self, quick: T, full: T) -> T:
        """One of two sizes."""
        return quick if self.quick else full

    async def in_turn(self, *measurements: Awaitable[T]) -> list[T]:
        """One after the other; a quick run does them at once, so only what mostly waits."""
        if self.quick:
            return list(await asyncio.gather(*measurements))
        return [await measurement for measurement in measurements]

    @property
    def rounds(self) -> int:
        """How often each subject has its turn."""
        return 3

    def say(self, text: str) -> None:
        """Print progress on standard error; standard output is for the answer."""
        print(f"  {text}", file=sys.stderr, flush=True)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Servers, from start to stop."""
        try:
            self.postgres.start()
            self._redis.start()
            await migrate.migrate(self.postgres.url)
            yield
        finally:
            self._redis.stop()
            self.postgres.stop()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """Make an empty database with our schema (others may add theirs), and an empty Redis."""
        number = next(self._numbers)
        name = f"bench_{number}"
        admin = await asyncpg.connect(self.postgres.url.replace("/shortlist?", "/postgres?"))
        try:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE shortlist STRATEGY file_copy")
            place = Place(
                self.postgres.url.replace("/shortlist?", f"/{name}?"),
                f"redis://127.0.0.1:{self._redis.port}/{number % REDIS_DATABASES}",
            )
            with place.redis() as client:
                client.flushdb()
            yield place
            with place.redis() as client:
                client.flushdb()
        finally:
            await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            await admin.close()

    @contextmanager
    def child(
        self, name: str, command: list[str], environment: Mapping[str, str] | None = None
    ) -> Iterator[Child]:
        """Run a process for the length of a block."""
        log = self.directory / f"{name}-{next(self._numbers)}.log"
        with Child(command, log, environment or {}) as child:
            yield child
