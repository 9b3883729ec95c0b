"""What whoever sizes workers looks at each second. Reads only; decides nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.scaling import LineReading
from shortlist.failpoints import guarded
from shortlist.storage import connections, heartbeats, limiter, postgres, refusal
from shortlist.storage.line import Line

if TYPE_CHECKING:
    from shortlist.domain.application import PipelineName
    from shortlist.storage.heartbeats import Grant, Heartbeat
    from shortlist.storage.postgres import Connection
    from shortlist.storage.redis import Redis

_NO_BUDGET = 1_000_000


@dataclass(frozen=True, slots=True)
class LineLook:
    """What Redis says of one pipeline."""

    at: float
    """Unix seconds."""
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

    @property
    def live(self) -> list[Heartbeat]:
        """The beats that were fresh when they were read."""
        return heartbeats.live(list(self.beats), self.at)


@dataclass(frozen=True, slots=True)
class ConnectionsLook:
    """What Postgres says."""

    limits: connections.ConnectionLimits
    open_by_worker: dict[str, int]

    def budget(self, reserved: int) -> int:
        """B: what all workers together may hold; ``reserved``: connections kept for others."""
        if not guarded("connection_budget"):
            return _NO_BUDGET
        return self.limits.budget(reserved)


async def look_at_line(redis: Redis, pipeline: PipelineName) -> LineLook:
    """Read the line and its workers."""
    line = Line(redis, pipeline)
    depth, submissions = await line.depth(), await line.submissions()
    head = await line.head(line.line)
    refused = await refusal.current(redis, pipeline)
    now = time.time()
    age_seconds = 0.0 if head is None else max(0.0, now - head.position[0] / 1000)
    return LineLook(
        at=now,
        reading=LineReading(submissions, depth.waiting, age_seconds),
        beats=tuple(await heartbeats.all_beats(redis, pipeline)),
        grants=await heartbeats.all_grants(redis, pipeline),
        draining=frozenset(await heartbeats.draining(redis, pipeline)),
        throttled=refused is not None or await limiter.paused_for(redis, pipeline) > 0,
        refused=None if refused is None else refused.why,
    )


async def look_at_connections(connection: Connection) -> ConnectionsLook:
    """Read the limits and who holds what.

    Behind a pooler its clients are what is limited, and Postgres cannot count them.
    """
    if (clients := postgres.pooler_clients(connection)) is not None:
        await connection.execute("SELECT 1")
        return ConnectionsLook(connections.ConnectionLimits(clients, 0, 0), {})
    return ConnectionsLook(
        await connections.limits(connection), await connections.open_by_worker(connection)
    )
