"""A worker that does jobs: ours or a peer, seen the same way by every experiment."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from loadtest.bench.child import Child, python
from loadtest.bench.peers.protocol import TABLE, Setup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractContextManager

    import asyncpg

    from loadtest.bench.bench import Bench, Place
    from loadtest.bench.peers import PeerInfo

_POLL_INTERVAL_SECONDS = 0.1
_READY_SECONDS = 120.0
_READY_JOBS = 60


@dataclass(frozen=True, slots=True)
class Start:
    """A job was begun: by which process, when (Unix time)."""

    job: str
    pid: int
    at: float


@dataclass(frozen=True, slots=True)
class Work:
    """What workers are to do."""

    concurrency: int
    service_seconds: float
    reliable: bool = False


class Contender(ABC):
    """Prepared servers and a way to submit jobs; workers are started when wanted."""

    title: str

    def __init__(self, bench: Bench, place: Place, work: Work) -> None:
        """For one place at a time."""
        self.bench = bench
        self.place = place
        self.work = work
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    @abstractmethod
    def worker(self) -> AbstractContextManager[Child]:
        """One more worker process, for the length of a block."""

    @abstractmethod
    async def submit(self, count: int) -> float:
        """Submit so many jobs; the Unix time at which that began."""

    @abstractmethod
    async def count_done(self) -> int:
        """Jobs done so far."""

    @abstractmethod
    async def done_at(self) -> list[float]:
        """When each was done, Unix times, ascending; a job that was done twice is there twice."""

    @abstractmethod
    async def done_twice(self) -> int:
        """Jobs whose result was written more than once."""

    @abstractmethod
    async def starts(self) -> list[Start]:
        """Every start of a job, ascending."""

    @abstractmethod
    async def wait_until_ready(self, workers: list[Child]) -> None:
        """Wait until each of these workers takes jobs."""

    async def wait_until_done(
        self, count: int, workers: list[Child], timeout_seconds: float = 300
    ) -> None:
        """Wait until so many jobs are done, while the workers live."""
        deadline = time.monotonic() + timeout_seconds
        while (done := await self.count_done()) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.title}: {done} of {count} after {timeout_seconds:g} s")
            for worker in workers:
                worker.must_run()
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)

    async def connection(self) -> asyncpg.Connection[asyncpg.Record]:
        """For looking at the results."""
        if self._connection is None:
            self._connection = await self.place.connect()
        return self._connection

    async def close(self) -> None:
        """Let go of the database."""
        if self._connection is not None:
            await self._connection.close()


class PeerContender(Contender):
    """One of ``peers/``."""

    def __init__(self, bench: Bench, place: Place, work: Work, info: PeerInfo) -> None:
        """``info`` tells which."""
        super().__init__(bench, place, work)
        self.title = info.title
        self._module = info.module
        self._numbers = 0
        self._setup = Setup(
            place.database_url,
            place.redis_url,
            work.concurrency,
            work.service_seconds,
            reliable=work.reliable,
        )

    def worker(self) -> AbstractContextManager[Child]:
        """Run the library's own worker."""
        return self._run("worker")

    async def prepare(self) -> None:
        """Make the table of rows, and what the library wants."""
        await (await self.connection()).execute(TABLE)
        with self._run("prepare") as child:
            await asyncio.to_thread(child.wait, 60)

    async def submit(self, count: int) -> float:
        """In a process of its own, as a web handler would be."""
        first, self._numbers = self._numbers, self._numbers + count
        return await self._enqueue(first, count)

    async def _enqueue(self, first: int, count: int) -> float:
        with self._run("enqueue", str(first), str(count)) as child:
            await asyncio.to_thread(child.wait, 300)
            return float(child.log.read_text().split()[0])

    async def count_done(self) -> int:
        """Rows that say so."""
        return cast("int", await (await self.connection()).fetchval(
            "SELECT count(DISTINCT job) FROM bench_rows WHERE event = 'done'"
        ))  # fmt: skip

    async def done_at(self) -> list[float]:
        """By the rows' own clock."""
        rows = await (await self.connection()).fetch(
            "SELECT extract(epoch FROM at)::float8 FROM bench_rows WHERE event = 'done' ORDER BY at"
        )
        return [row[0] for row in rows]

    async def done_twice(self) -> int:
        """Jobs with two rows that say so."""
        return cast("int", await (await self.connection()).fetchval(
            "SELECT count(*) FROM (SELECT FROM bench_rows WHERE event = 'done'"
            " GROUP BY job HAVING count(*) > 1) d"
        ))  # fmt: skip

    async def starts(self) -> list[Start]:
        """Return what is recorded with `Work.reliable` only."""
        rows = await (await self.connection()).fetch(
            "SELECT job, pid, extract(epoch FROM at)::float8 AS at FROM bench_rows"
            " WHERE event = 'started' ORDER BY at"
        )
        return [Start(str(row["job"]), row["pid"], row["at"]) for row in rows]

    async def wait_until_ready(self, workers: list[Child]) -> None:
        """Libraries have no probe in common: submit empty jobs until each has done one."""
        deadline = time.monotonic() + _READY_SECONDS
        while not await self._all_ready(workers):
            for worker in workers:
                worker.must_run()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.title}: not all workers take jobs")
            await self._enqueue(-_READY_JOBS, _READY_JOBS)
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)

    async def _all_ready(self, workers: list[Child]) -> bool:
        rows = await (await self.connection()).fetch(
            "SELECT DISTINCT pid FROM bench_rows WHERE event = 'ready'"
        )
        ready = {row["pid"] for row in rows}
        return all(tree & ready for tree in pids(workers))

    def _run(self, what: str, *arguments: str) -> AbstractContextManager[Child]:
        command = python("-m", "loadtest.bench.peers", self._module, what, *arguments)
        return self.bench.child(f"{self._module}-{what}", command, self._setup.environment)


@asynccontextmanager
async def peer(bench: Bench, info: PeerInfo, work: Work) -> AsyncIterator[PeerContender]:
    """Prepare a peer in a place of its own."""
    async with bench.place() as place:
        contender = PeerContender(bench, place, work, info)
        try:
            await contender.prepare()
            yield contender
        finally:
            await contender.close()


def pids(children: list[Child]) -> Iterator[set[int]]:
    """Of each child, the process ids of its tree."""
    for child in children:
        yield {process.pid for process in child.tree()}
