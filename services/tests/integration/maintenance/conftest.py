"""A leader's desk, and a stand-in for everything that happens around maintenance."""

from __future__ import annotations

import asyncio
import math
import random
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from shortlist.domain.line.application import (
    DEFAULT_PIPELINE,
    ApplicationId,
    Claim,
    NewApplication,
    Verdict,
    WorkerId,
    lowest_id_at,
)
from shortlist.maintenance import leader
from shortlist.maintenance.agents import sweep as sweeping
from shortlist.maintenance.agents.sweep import Sweeps
from shortlist.maintenance.context import LeaderContext
from shortlist.maintenance.leader import LEASE_NAME, Leadership
from shortlist.maintenance.main import Maintenance, connect
from shortlist.runtime.process import Stopping
from shortlist.settings import Settings
from shortlist.storage import postgres
from shortlist.storage.postgres.pool import ConnectionPool
from shortlist.storage.postgres.queries import applications, claims, leases, workers
from shortlist.storage.redis.line import Entry, Line
from shortlist.telemetry import logs
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from shortlist.domain.line.application import ConnectionMode
    from shortlist.domain.line.suspicion import Suspect
    from shortlist.maintenance.agents.sweep import Sweep
    from shortlist.storage.postgres import Connection
    from shortlist.storage.redis import Redis


@dataclass
class FakeWorker:
    """Enrols, claims and dies as a worker does, without scoring anything."""

    id: WorkerId
    mode: ConnectionMode
    database_url: str
    connections: list[Connection]

    @classmethod
    async def start(cls, database_url: str, mode: ConnectionMode) -> FakeWorker:
        worker = cls(WorkerId(uuid4()), mode, database_url, [])
        await workers.enrol(await worker.connect(), worker.id, DEFAULT_PIPELINE, mode)
        return worker

    async def connect(self) -> Connection:
        connection = await postgres.connect(
            self.database_url, application_name="fake worker", timeout_seconds=20
        )
        self.connections.append(connection)
        return connection

    async def claim(self, *ids: ApplicationId) -> list[Claim]:
        """As the mode has it: each on a connection of its own, or all by the lease."""
        got: Sequence[Claim | Suspect | None]
        if self.mode == "perWrite":
            got = await claims.claim_leased(self.connections[0], ids, self.id)
        else:
            got = [await claims.claim_held(await self.connect(), i, self.id) for i in ids]
        return [claim for claim in got if isinstance(claim, Claim)]

    async def die(self) -> None:
        """As by kill -9: its connections drop; its lease, if it has one, has run out."""
        if self.mode == "perWrite":
            await self.connections[0].execute(
                "UPDATE workers SET lease_expires_at = now() - interval '1 s' WHERE id = $1",
                self.id,
            )
        for connection in self.connections:
            connection.terminate()
        self.connections.clear()


class Shop:
    """The default pipeline: its tables, its line, its workers."""

    def __init__(self, db: Connection, redis: Redis, database_url: str) -> None:
        self.db = db
        self.redis = redis
        self.line = Line(redis, DEFAULT_PIPELINE)
        self.database_url = database_url
        self.workers: list[FakeWorker] = []

    async def accept(
        self, count: int = 1, *, age_seconds: float = 0.0, publish: bool = False
    ) -> list[ApplicationId]:
        """Applications as ingest makes them; published or, as when Redis is away, not."""
        group = [
            NewApplication(id_, DEFAULT_PIPELINE, "Ada", "payload")
            for id_ in _ids(age_seconds, count)
        ]
        await applications.accept(self.db, group)
        if publish:
            await self.line.publish([Entry(a.id) for a in group])
        return [a.id for a in group]

    async def schedule(self, seconds: float, *ids: ApplicationId) -> None:
        """To be tried again, so many seconds from now."""
        await self.db.executemany(
            """
            INSERT INTO retries (application_id, pipeline, due_at)
            VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
            """,
            [(one, DEFAULT_PIPELINE, seconds) for one in ids],
        )

    async def finish(self, *ids: ApplicationId, by: WorkerId | None = None) -> None:
        """Claimed and scored."""
        worker = by or WorkerId(uuid4())
        claimed = await claims.claim_leased(self.db, ids, worker)
        verdicts = [
            Verdict(c.application_id, c.attempt, "scored", 50.0)
            for c in claimed
            if isinstance(c, Claim)
        ]
        counted = await claims.complete(
            self.db, verdicts, pipeline=DEFAULT_PIPELINE, worker_id=worker
        )
        assert counted == set(ids)

    async def fail(self, *ids: ApplicationId, reason: str = "the model refused") -> None:
        """Claimed and given up."""
        worker = WorkerId(uuid4())
        claimed = await claims.claim_leased(self.db, ids, worker)
        verdicts = [
            Verdict(c.application_id, c.attempt, "failed", None, reason)
            for c in claimed
            if isinstance(c, Claim)
        ]
        counted = await claims.complete(
            self.db, verdicts, pipeline=DEFAULT_PIPELINE, worker_id=worker
        )
        assert counted == set(ids)

    async def worker(self, mode: ConnectionMode = "perJob") -> FakeWorker:
        self.workers.append(await FakeWorker.start(self.database_url, mode))
        return self.workers[-1]

    async def in_line(self) -> list[ApplicationId]:
        """What is on ``line``, delivered or not, in order."""
        return [
            e.application_id for e in await self.line.entries_from(self.line.line, (0, 0), 99999)
        ]

    async def in_again(self) -> list[ApplicationId]:
        """What is on ``again``, delivered or not, in order."""
        return [
            e.application_id for e in await self.line.entries_from(self.line.again, (0, 0), 99999)
        ]

    async def until_in_again(self, *ids: ApplicationId, within_seconds: float = 30) -> None:
        async def look() -> bool:
            return set(ids) <= set(await self.in_again())

        await until(look, within_seconds=within_seconds, what=f"{len(ids)} are put back")


def _ids(age_seconds: float, count: int) -> list[ApplicationId]:
    """Ids in order, made so long ago; what follows their time is random, as in real ones."""
    if not age_seconds:
        return [ApplicationId(uuid7()) for _ in range(count)]
    then = lowest_id_at(int((time.time() - age_seconds) * 1000)).int
    numbers = sorted(random.getrandbits(62) for _ in range(count))
    return [ApplicationId(UUID(int=then + number)) for number in numbers]


@pytest.fixture
def shop(db: Connection, line_redis: Redis, database_url: str) -> Iterator[Shop]:
    shop = Shop(db, line_redis, database_url)
    yield shop
    for worker in shop.workers:
        for connection in worker.connections:
            connection.terminate()


@pytest.fixture
def make_settings(database_url: str, redis_url: str) -> Callable[..., Settings]:
    def make(**overrides: Any) -> Settings:
        return Settings(
            **{
                "database_url": database_url,
                "redis_url": redis_url,
                "host": "127.0.0.1",
                "port": 0,
                **overrides,
            }
        )

    return make


if TYPE_CHECKING:
    MakeDesk = Callable[..., Awaitable[LeaderContext]]


@pytest.fixture
async def make_desk(
    make_settings: Callable[..., Settings], db: Connection, line_redis: Redis
) -> AsyncIterator[MakeDesk]:
    """Contexts of leaders that no replica replaces; a new one takes over from the one before."""
    pools: list[ConnectionPool] = []

    async def make(
        heard_for_seconds: Callable[[], float] = lambda: math.inf, **overrides: Any
    ) -> LeaderContext:
        settings = make_settings(**overrides)
        pool = ConnectionPool(partial(connect, settings), 4)
        pools.append(pool)
        await db.execute("UPDATE leases SET expires_at = now()")
        lease = await leases.take(db, LEASE_NAME, uuid4(), 600)
        assert lease is not None
        leadership = Leadership(lease, time.monotonic() + 600)
        return LeaderContext(settings, pool, line_redis, leadership, heard_for_seconds)

    yield make
    for pool in pools:
        await pool.close()


@pytest.fixture
async def desk(make_desk: MakeDesk) -> LeaderContext:
    return await make_desk()


@pytest.fixture
async def sweeps(desk: LeaderContext) -> Sweeps:
    sweeps = Sweeps(desk)
    await sweeps.learn_pipelines()
    return sweeps


@pytest.fixture
async def sweep(sweeps: Sweeps) -> Sweep:
    sweep = await sweeps.of(DEFAULT_PIPELINE)
    assert sweep is not None
    return sweep


@pytest.fixture
async def start_maintenance(
    make_settings: Callable[..., Settings],
    logging_is_put_back: None,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Callable[..., Maintenance]]:
    """Whole replicas, inside the test's event loop."""
    del logging_is_put_back
    running: list[tuple[Stopping, asyncio.Task[None]]] = []

    monkeypatch.setattr(sweeping, "INTERVAL_SECONDS", 0.2)

    def start(lease_seconds: float = 5.0, **overrides: Any) -> Maintenance:
        settings = make_settings(**overrides)
        monkeypatch.setattr(leader, "LEASE_SECONDS", lease_seconds)
        logs.configure(settings, "maintenance")
        maintenance, stopping = Maintenance(settings), Stopping()
        running.append((stopping, asyncio.create_task(maintenance.run(stopping))))
        return maintenance

    yield start
    for stopping, task in running:
        stopping.ask()
        await task


@asynccontextmanager
async def old_snapshot(database_url: str) -> AsyncIterator[None]:
    """A forgotten transaction, which sees the past until it ends."""
    connection = await postgres.connect(database_url, application_name="old snapshot")
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.fetchval("SELECT count(*) FROM applications")
        yield
    await connection.close()
