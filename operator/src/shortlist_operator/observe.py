"""Looks at a line, its workers and Postgres's connections. Reads only; decides nothing."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shortlist.domain.scaling import LineReading
from shortlist.storage import connections, heartbeats, postgres, redis
from shortlist.storage.line import Line

if TYPE_CHECKING:
    from shortlist.domain.application import PipelineName
    from shortlist.storage.heartbeats import Grant, Heartbeat

LOOK_TIMEOUT_SECONDS = 2.0
_SUPERVISOR = "shortlist-operator"


@dataclass(frozen=True, slots=True)
class LineLook:
    """What Redis says of one pipeline."""

    reading: LineReading
    beats: tuple[Heartbeat, ...]
    """Fresh ones only."""
    grants: dict[str, Grant]
    draining: frozenset[str]
    """Worker ids that are told to take nothing more."""


@dataclass(frozen=True, slots=True)
class ConnectionsLook:
    """What Postgres says."""

    limits: connections.ConnectionLimits
    open_by_worker: dict[str, int]


@dataclass
class Observer:
    """One Redis client and one Postgres connection, shared by all pipelines of an operator."""

    database_url: str
    redis: redis.Redis
    _connection: postgres.Connection | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def line(self, pipeline: PipelineName) -> LineLook:
        """Read the line and the heartbeats; raises `REDIS_ERRORS`."""
        async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
            line = Line(self.redis, pipeline)
            depth, submissions = await line.depth(), await line.submissions()
            head = await line.head(line.line)
            beats = heartbeats.live(
                await heartbeats.all_beats(self.redis, pipeline), now := time.time()
            )
            grants = await heartbeats.all_grants(self.redis, pipeline)
            draining = await heartbeats.draining(self.redis, pipeline)
        age_seconds = 0.0 if head is None else max(0.0, now - head.position[0] / 1000)
        reading = LineReading(submissions, depth.waiting, age_seconds)
        return LineLook(reading, tuple(beats), grants, frozenset(draining))

    async def connections(self) -> ConnectionsLook:
        """Read the limits and who holds what; raises `CONNECTION_ERRORS`."""
        async with asyncio.timeout(LOOK_TIMEOUT_SECONDS), self._opening:
            if self._connection is None or self._connection.is_closed():
                self._connection = await postgres.connect(
                    self.database_url, application_name=_SUPERVISOR
                )
            try:
                return ConnectionsLook(
                    await connections.limits(self._connection),
                    await connections.open_by_worker(self._connection),
                )
            except BaseException:
                self._connection.terminate()
                raise

    async def close(self) -> None:
        """Give back what it holds."""
        await self.redis.aclose()
        if self._connection is not None:
            await postgres.close_quickly(self._connection)


class StartTimes:
    """How long pods took of late from being made to ready."""

    def __init__(self, remembered: int = 50) -> None:
        """The last ``remembered`` starts count."""
        self._seen: set[str] = set()
        self._seconds: deque[float] = deque(maxlen=remembered)

    def saw(self, pod: str, seconds: float) -> None:
        """A pod got ready after so many seconds; told as often as you like."""
        if pod not in self._seen:
            self._seen.add(pod)
            self._seconds.append(seconds)

    def p90_seconds(self) -> float | None:
        """The 90th percentile; None before the first."""
        if not self._seconds:
            return None
        ordered = sorted(self._seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))]
