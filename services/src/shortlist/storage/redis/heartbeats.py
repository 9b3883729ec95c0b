"""What workers report each second, and what their controller answers: grants and drains."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, cast

import msgspec

from shortlist.domain.line.application import ConnectionMode  # noqa: TC001 (decoding reads it)
from shortlist.domain.sizing.fleet import WorkerReport
from shortlist.domain.sizing.grants import Grant as Grant  # noqa: PLC0414 (part of what is told here)
from shortlist.storage.redis import keys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection

    from shortlist.domain.line.application import PipelineName, WorkerId
    from shortlist.storage.redis import Redis

STALE_AFTER_SECONDS = 5.0
"""A worker whose heartbeat is older has been paused, cut off, or killed: five missed beats."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One worker's state. Counters only grow while the worker lives; times are Unix seconds."""

    worker_id: str
    at: float
    started_at: float
    ready_at: float
    """0 until it is ready."""
    host: str
    pid: int
    mode: ConnectionMode
    concurrency: int
    in_flight: int
    grant: int
    open_connections: int
    epoch: int
    draining: bool
    busy_seconds: float
    completed: int
    failed: int
    retried: int
    latency_buckets: list[int] = field(default_factory=list)
    """Cumulative counts of submit-to-scored seconds, by `LATENCY_BUCKETS` (and +Inf)."""
    ready_monotonic: float = 0.0
    """`ready_at` by `time.monotonic`: for readers on the same host, whose clock may be set."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is told in answer to its heartbeat."""

    grant: int | None
    """Connections that it may hold; None: no grant, it keeps what it started with."""
    epoch: int
    drain: bool


async def beat(redis: Redis, pipeline: PipelineName, heartbeat: Heartbeat) -> Orders:
    """Report, and read the orders, in one round trip."""
    worker = heartbeat.worker_id
    async with redis.pipeline(transaction=False) as pipe:
        pipe.hset(keys.beats(pipeline), worker, msgspec.json.encode(asdict(heartbeat)))
        pipe.hget(keys.grants(pipeline), worker)
        pipe.sismember(keys.drain(pipeline), worker)
        _, grant, drain = await pipe.execute()
    if grant is None:
        return Orders(None, 0, bool(drain))
    decoded = msgspec.json.decode(grant, type=Grant)
    return Orders(decoded.connections, decoded.epoch, bool(drain))


async def leave(redis: Redis, pipeline: PipelineName, worker_id: WorkerId | str) -> None:
    """Remove a worker that is gone for good: nothing of it stays behind."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.hdel(keys.beats(pipeline), str(worker_id))
        pipe.hdel(keys.grants(pipeline), str(worker_id))
        pipe.srem(keys.drain(pipeline), str(worker_id))
        await pipe.execute()


async def all_beats(redis: Redis, pipeline: PipelineName) -> list[Heartbeat]:
    """Read the newest heartbeat of every worker that has not left, stale ones too."""
    raw = await cast("Awaitable[dict[str, Any]]", redis.hgetall(keys.beats(pipeline)))
    return [msgspec.json.decode(text, type=Heartbeat) for text in raw.values()]


async def mentioned(redis: Redis, pipeline: PipelineName) -> set[str]:
    """Read every worker of which a heartbeat, a grant or an order to drain is kept."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.hkeys(keys.beats(pipeline))
        pipe.hkeys(keys.grants(pipeline))
        pipe.smembers(keys.drain(pipeline))
        return {worker for names in await pipe.execute() for worker in names}


class Pulse:
    """Finds live workers by changes of their heartbeats, on the reader's own monotonic clock.

    What a heartbeat says of the time is its host's opinion, and no two hosts agree. One that is
    seen for the first time may be of a worker that lives; one that does not change is not.
    """

    def __init__(self) -> None:
        """None was seen yet."""
        self._seen: dict[str, tuple[float, float]] = {}

    def live(self, beats: Collection[Heartbeat], now: float) -> list[Heartbeat]:
        """List those not stale at ``now`` (monotonic seconds); ``beats`` are all there are."""
        before, self._seen = self._seen, {}
        for beat in beats:
            at, since = before.get(beat.worker_id, (None, now))
            self._seen[beat.worker_id] = (beat.at, since if beat.at == at else now)
        return [
            beat for beat in beats if now - self._seen[beat.worker_id][1] <= STALE_AFTER_SECONDS
        ]


def as_worker(beat: Heartbeat, counted: int) -> WorkerReport:
    """List who reports, as the scaling policy sees it; ``counted``: connections, by Postgres."""
    return WorkerReport(
        id=beat.worker_id,
        ready=beat.ready_at > 0,
        draining=beat.draining,
        in_flight=beat.in_flight,
        busy_seconds=beat.busy_seconds,
        ended=beat.completed + beat.failed + beat.retried,
        open_connections=max(beat.open_connections, counted),
        started_at=beat.started_at,
    )


async def publish_grants(redis: Redis, pipeline: PipelineName, grants: dict[str, Grant]) -> None:
    """Tell workers how many connections each may hold."""
    if grants:
        encoded: dict[Any, Any] = {w: msgspec.json.encode(asdict(g)) for w, g in grants.items()}
        await redis.hset(keys.grants(pipeline), mapping=encoded)


async def all_grants(redis: Redis, pipeline: PipelineName) -> dict[str, Grant]:
    """Read every grant that stands."""
    raw = await cast("Awaitable[dict[str, Any]]", redis.hgetall(keys.grants(pipeline)))
    return {worker: msgspec.json.decode(text, type=Grant) for worker, text in raw.items()}


async def draining(redis: Redis, pipeline: PipelineName) -> set[str]:
    """Read which workers are told to take nothing more."""
    return set(await cast("Awaitable[set[str]]", redis.smembers(keys.drain(pipeline))))


async def set_draining(redis: Redis, pipeline: PipelineName, worker_ids: Collection[str]) -> None:
    """Make the drain set be exactly these workers."""
    key = keys.drain(pipeline)
    async with redis.pipeline(transaction=True) as pipe:
        pipe.delete(key)
        if worker_ids:
            pipe.sadd(key, *worker_ids)
        await pipe.execute()
