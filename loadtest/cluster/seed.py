"""The seed experiment: four workers, 20/s, and fewer connections than they need.

A score takes 1.5 s, so 30 are in flight at 20/s. Capped by hand at 6 connections each (one of them
for the worker itself), four workers hold 20: 13.3/s, and the line grows. Then the operator, which
was away, comes back; the number of workers stays as it is.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loadtest.cluster.release import installed, resize_workers
from shortlist.domain.line.application import PipelineName
from shortlist.domain.sizing.connections import connections_wanted, slots_for
from shortlist.storage import snapshots
from testkit.kubernetes.pipelines import Pipeline
from tools.markdown import table

if TYPE_CHECKING:
    import datetime as dt

    import asyncpg

    from shortlist.storage.redis import Redis, heartbeats
    from testkit.kubernetes.cluster import Cluster

WORKERS, CONCURRENCY, OVERHEAD, CAPPED_AT = 4, 10, 1, 6
RATE_PER_SECOND = 20.0
WINDOW_SECONDS = 60.0
NAME = PipelineName("default")
VALUES: dict[str, Any] = {
    "pipeline": {
        "spec": {
            "worker": {"concurrency": CONCURRENCY},
            "scorer": {"kind": "simulated", "serviceSeconds": 1.5, "serviceCv": 0.1},
            "scaling": {"minReplicas": WORKERS, "maxReplicas": WORKERS},
            "connections": {"overheadPerWorker": OVERHEAD},
        }
    }
}
ORIGINAL = {
    "completions/s": ("13.3", "19.8"),
    "p99 submit-to-scored": ("20.9 s", "2.0 s"),
    "waiters": ("20", "0"),
    "backlog": ("334", "0"),
}
"""The figures of the experiment that this one repeats."""

_FIGURES = """
SELECT count(*) AS scored,
       percentile_cont(0.99) WITHIN GROUP
         (ORDER BY extract(epoch FROM r.finished_at - a.accepted_at)) AS p99_seconds
FROM results r JOIN applications a ON a.id = r.application_id
WHERE r.finished_at >= $1 AND r.finished_at < $2
"""


@dataclass(frozen=True, slots=True)
class Window:
    """What one window showed."""

    completions_per_second: float
    p99_seconds: float
    waiters: int
    """Applications that wait at its end, and that a worker would hold if it had a connection."""
    backlog: int
    """Applications that wait at its end."""
    connections: int


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the figures are read."""

    database: asyncpg.Connection
    redis: Redis

    async def now(self) -> dt.datetime:
        """By Postgres's clock."""
        now: dt.datetime = await self.database.fetchval("SELECT clock_timestamp()")
        return now

    async def waiting(self) -> tuple[int, int]:
        """Applications that wait; and those of them that only lack a connection."""
        look = await snapshots.read_line(self.redis, NAME, snapshots.LineMemory())
        lacking = sum(CONCURRENCY - _slots(beat) for beat in look.live)
        return look.reading.waiting, min(lacking, look.reading.waiting)

    async def window(self) -> Window:
        """Watch for a while."""
        begun, started = await self.now(), time.monotonic()
        await asyncio.sleep(WINDOW_SECONDS)
        figures = await self.database.fetchrow(_FIGURES, begun, await self.now())
        seconds = time.monotonic() - started
        backlog, waiters = await self.waiting()
        opened = (await snapshots.read_connections(self.database)).open_by_worker
        return Window(
            figures["scored"] / seconds,
            figures["p99_seconds"] or float("nan"),
            waiters,
            backlog,
            sum(opened.values()),
        )


def _slots(beat: heartbeats.Heartbeat) -> int:
    return slots_for(beat.grant, overhead=OVERHEAD, concurrency=beat.concurrency, mode=beat.mode)


async def run() -> str:
    """Install, break, measure, let the operator correct, measure. The table."""
    async with installed("seed", VALUES) as cluster:
        return await _experiment(cluster)


async def _experiment(cluster: Cluster) -> str:
    pipeline = Pipeline(cluster, NAME)
    operator = cluster.deployments(cluster.part("operator"))
    await cluster.scale(operator, 0)
    await cluster.until_none("operator")
    await resize_workers(cluster, WORKERS, initial_grant=CAPPED_AT)
    async with cluster.database() as database, cluster.redis() as redis:
        servers = Servers(database, redis)
        async with pipeline.load(RATE_PER_SECOND):
            before = await servers.window()
            print(f"capped by hand: {before}", flush=True)
            began = time.monotonic()
            await cluster.scale(operator, 1)
            await _until_granted(cluster, servers)
            granted_seconds = time.monotonic() - began
            await _until_caught_up(cluster, servers)
            caught_up_seconds = time.monotonic() - began
            after = await servers.window()
        restarts = await _restarts(cluster)
        await pipeline.settle()
    return _report(before, after, granted_seconds, caught_up_seconds, restarts)


async def _until_granted(cluster: Cluster, servers: Servers) -> None:
    wanted = connections_wanted(concurrency=CONCURRENCY, overhead=OVERHEAD, mode="perJob")

    memory = snapshots.LineMemory()

    async def granted() -> bool:
        look = await snapshots.read_line(servers.redis, NAME, memory)
        return len(look.live) == WORKERS and all(beat.grant == wanted for beat in look.live)

    await cluster.until(granted, what=f"every worker has {wanted} connections")


async def _until_caught_up(cluster: Cluster, servers: Servers) -> None:
    async def caught_up() -> bool:
        return (await servers.waiting())[0] == 0

    await cluster.until(caught_up, what="nothing waits", within_seconds=300)


async def _restarts(cluster: Cluster) -> int:
    """Of all workers' containers: pools are resized while they run."""
    return sum(
        status["restartCount"]
        for pod in await cluster.pods_of("worker")
        for status in pod["status"].get("containerStatuses", [])
    )


def _report(
    before: Window, after: Window, granted_seconds: float, caught_up_seconds: float, restarts: int
) -> str:
    rows = {
        "completions/s": (
            f"{before.completions_per_second:.1f}", f"{after.completions_per_second:.1f}"
        ),
        "p99 submit-to-scored": (f"{before.p99_seconds:.1f} s", f"{after.p99_seconds:.1f} s"),
        "waiters": (str(before.waiters), str(after.waiters)),
        "backlog": (str(before.backlog), str(after.backlog)),
        "connections of all workers": (str(before.connections), str(after.connections)),
    }  # fmt: skip
    original = {name: " → ".join(pair) for name, pair in ORIGINAL.items()}
    shown = table(
        ["", "capped by hand", "corrected by the operator", "the original"],
        [[name, *pair, original.get(name, "")] for name, pair in rows.items()],
    )
    return (
        f"{shown}\n\n"
        f"{WORKERS} workers all the time, {RATE_PER_SECOND:.0f}/s, windows of "
        f"{WINDOW_SECONDS:.0f} s. After the operator's pod was asked for, every\n"
        f"worker had all its connections within {granted_seconds:.0f} s, and nothing waited after "
        f"{caught_up_seconds:.0f} s.\nRestarts of workers: {restarts}."
    )
