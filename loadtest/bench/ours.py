"""Our own processes, started as a user starts them."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from loadtest.bench.child import Child, ChildError, free_port, python
from loadtest.bench.contender import Contender, Start, Work
from loadtest.bench.http import send
from loadtest.bench.load import Load
from shortlist.storage.redis import keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from loadtest.bench.bench import Bench, Place
    from shortlist.domain.line.application import ConnectionMode

PIPELINE = "default"
BODY = json.dumps({"candidate": "Ada Lovelace", "payload": "x" * 200})
"""What is posted: a small application."""

_READY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Server:
    """A process that listens."""

    child: Child
    port: int


@contextmanager
def process(
    bench: Bench, place: Place, name: str, settings: dict[str, str] | None = None
) -> Iterator[Server]:
    """One of our processes; it may not be ready yet."""
    port = free_port()
    environment = {
        **place.environment,
        "SHORTLIST_HOST": "127.0.0.1",
        "SHORTLIST_PORT": str(port),
        "SHORTLIST_LOG_LEVEL": "warning",
        **(settings or {}),
    }
    with bench.child(name, python("-m", "shortlist", name), environment) as child:
        yield Server(child, port)


async def until_ready(server: Server) -> None:
    """Wait until its ``/readyz`` says so."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        server.child.must_run()
        if await asyncio.to_thread(_is_ready, server.port):
            return
        await asyncio.sleep(0.05)
    raise ChildError(f"not ready after {_READY_SECONDS:g} s: {server.child.log}")


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return cast("bool", answer.status == 200)  # noqa: PLR2004 (OK)
    except (urllib.error.URLError, OSError):
        return False


@asynccontextmanager
async def ingest(bench: Bench, place: Place) -> AsyncIterator[Server]:
    """Run an ingest until it is ready, with a line that never is full."""
    connection = await place.connect()
    await connection.execute("UPDATE pipelines SET line_capacity = 1000000000")
    await connection.close()
    with process(bench, place, "ingest") as server:
        await until_ready(server)
        yield server


class OurContender(Contender):
    """Ingest, and workers in one of the two connection modes."""

    def __init__(
        self,
        bench: Bench,
        place: Place,
        work: Work,
        mode: ConnectionMode,
        door: Server,
        overhead: int,
    ) -> None:
        """``door``: where applications are posted; ``overhead``: k, see `ours`."""
        super().__init__(bench, place, work)
        self.title = f"Shortlist {mode}"
        self._mode = mode
        self._overhead = overhead
        self.door = door
        self._servers: dict[int, Server] = {}
        self._pids: dict[str, int] = {}

    @contextmanager
    def worker(self) -> Iterator[Child]:
        """``shortlist worker``."""
        settings = {
            "SHORTLIST_CONNECTION_MODE": self._mode,
            "SHORTLIST_CONNECTION_OVERHEAD": str(self._overhead),
            "SHORTLIST_CONCURRENCY": str(self.work.concurrency),
            "SHORTLIST_SERVICE_SECONDS": str(self.work.service_seconds),
        }
        with process(self.bench, self.place, "worker", settings) as server:
            self._servers[server.child.pid] = server
            yield server.child

    async def submit(self, count: int) -> float:
        """By HTTP, 64 connections."""
        began = time.time()
        load = Load(port=self.door.port, body=BODY, count=count)
        report = await asyncio.to_thread(send, load)
        if set(report.statuses) != {"202"}:
            raise RuntimeError(f"wanted only 202, got {report.statuses}")
        return began

    async def wait_until_ready(self, workers: list[Child]) -> None:
        """By their probes."""
        for worker in workers:
            await until_ready(self._servers[worker.pid])

    async def count_done(self) -> int:
        """Rows of results."""
        connection = await self.connection()
        return cast("int", await connection.fetchval("SELECT count(*) FROM results"))

    async def done_at(self) -> list[float]:
        """By the results' own clock."""
        rows = await (await self.connection()).fetch(
            "SELECT extract(epoch FROM finished_at)::float8 FROM results ORDER BY finished_at"
        )
        return [row[0] for row in rows]

    async def done_twice(self) -> int:
        """Applications for which the audit says more than once that they were scored."""
        connection = await self.connection()
        return cast("int", await connection.fetchval(
            "SELECT count(*) FROM (SELECT FROM audit_log WHERE event = 'scored'"
            " GROUP BY application_id HAVING count(*) > 1) d"
        ))  # fmt: skip

    async def starts(self) -> list[Start]:
        """Every claim; heartbeats tell whose process it was."""
        self._learn_pids()
        rows = await (await self.connection()).fetch(
            "SELECT application_id, worker_id, extract(epoch FROM claimed_at)::float8 AS at"
            " FROM attempts ORDER BY claimed_at"
        )
        return [
            Start(str(row["application_id"]), self._pids.get(str(row["worker_id"]), 0), row["at"])
            for row in rows
        ]

    def _learn_pids(self) -> None:
        with self.place.redis() as client:
            beats = cast("dict[bytes, bytes]", client.hgetall(keys.beats(PIPELINE)))
        for worker, beat in beats.items():
            self._pids[worker.decode()] = json.loads(beat)["pid"]


@asynccontextmanager
async def ours(
    bench: Bench, mode: ConnectionMode, work: Work, overhead: int = 1
) -> AsyncIterator[OurContender]:
    """Our own path, prepared in a place of its own; ``overhead`` is k of its workers."""
    async with bench.place() as place, ingest(bench, place) as door:
        contender = OurContender(bench, place, work, mode, door, overhead)
        try:
            if work.reliable:
                with process(bench, place, "maintenance") as maintenance:
                    await until_ready(maintenance)
                    yield contender
            else:
                yield contender
        finally:
            await contender.close()
