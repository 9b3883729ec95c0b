"""What `up` and the operator read each second to size workers. Reads only; decides nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.line.age import HeadAge
from shortlist.domain.sizing.scaling import LineReading
from shortlist.storage import postgres
from shortlist.storage.postgres.queries import connection_limits
from shortlist.storage.postgres.statements import SQL
from shortlist.storage.redis import heartbeats, model_limits, refusal
from shortlist.storage.redis.line import Line

if TYPE_CHECKING:
    from shortlist.domain.line.application import PipelineName
    from shortlist.storage.postgres import Connection
    from shortlist.storage.redis import Redis
    from shortlist.storage.redis.heartbeats import Grant, Heartbeat


@dataclass(frozen=True, slots=True)
class LineSnapshot:
    """What Redis says of one pipeline."""

    reading: LineReading
    beats: tuple[Heartbeat, ...]
    """Of all workers that have not left; stale ones too."""
    grants: dict[str, Grant]
    draining: frozenset[str]
    """Worker ids that are told to take nothing more."""
    throttled: bool
    """The model asked the whole pipeline to wait, or refuses it."""
    refused: str | None = None
    """Why the model refuses whatever the pipeline asks."""
    stale: frozenset[str] = frozenset()
    """Ids of workers whose heartbeats do not change any more."""

    @property
    def live(self) -> list[Heartbeat]:
        """The beats that were fresh when they were read."""
        return [beat for beat in self.beats if beat.worker_id not in self.stale]


class LineMemory:
    """What a reader must remember of a pipeline to know ages: it believes no clock but its own."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self.pulse = heartbeats.Pulse()
        self.head = HeadAge()


@dataclass(frozen=True, slots=True)
class ConnectionsSnapshot:
    """What Postgres says."""

    limits: connection_limits.ConnectionLimits
    open_by_worker: dict[str, int]

    def budget(self, reserved: int) -> int:
        """B: what all workers together may hold; ``reserved``: connections kept for others."""
        return self.limits.budget(reserved)


async def read_line(redis: Redis, pipeline: PipelineName, memory: LineMemory) -> LineSnapshot:
    """Read the line and its workers; ``memory`` is of this pipeline."""
    line = Line(redis, pipeline)
    depth, submissions = await line.depth(), await line.submissions()
    head, server_seconds = await line.head(line.line), await line.server_seconds()
    refused = await refusal.current(redis, pipeline)
    beats = tuple(await heartbeats.all_beats(redis, pipeline))
    now = time.monotonic()
    live = {beat.worker_id for beat in memory.pulse.live(beats, now)}
    age_seconds = memory.head.see(None if head is None else head.position, server_seconds, now)
    return LineSnapshot(
        reading=LineReading(submissions, depth.waiting, age_seconds),
        beats=beats,
        grants=await heartbeats.all_grants(redis, pipeline),
        draining=frozenset(await heartbeats.draining(redis, pipeline)),
        throttled=refused is not None or await model_limits.paused_for(redis, pipeline) > 0,
        refused=None if refused is None else refused.why,
        stale=frozenset(beat.worker_id for beat in beats if beat.worker_id not in live),
    )


async def read_connections(connection: Connection) -> ConnectionsSnapshot:
    """Read the limits and who holds what.

    Behind a pooler its clients are what is limited, and Postgres cannot count them.
    """
    if (clients := postgres.pooler_clients(connection)) is not None:
        await SQL["server.answers"].execute(connection)
        return ConnectionsSnapshot(connection_limits.ConnectionLimits(clients, 0, 0), {})
    return ConnectionsSnapshot(
        await connection_limits.limits(connection),
        await connection_limits.open_by_worker(connection),
    )
