"""Puts maintenance together, runs it, and stops it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from shortlist.maintenance import leader
from shortlist.maintenance.agents import (
    consumers,
    dead_workers,
    gauges,
    retention,
    retries,
    sweep,
)
from shortlist.maintenance.agents.hiring import announcer, deadlines, scores, snapshots
from shortlist.maintenance.agents.hiring import gauges as hiring_gauges
from shortlist.maintenance.agents.hiring import retention as hiring_retention
from shortlist.maintenance.agents.redis_loss import RedisLoss
from shortlist.maintenance.context import HANGING_SECONDS, LeaderContext
from shortlist.runtime import probes, process, tasks
from shortlist.storage import postgres, redis
from shortlist.storage.postgres.pool import ConnectionPool
from shortlist.storage.postgres.queries import recovery

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from shortlist.maintenance.leader import Leadership
    from shortlist.runtime.process import Stopping
    from shortlist.settings import MaintenanceSettings
    from shortlist.storage.postgres import Connection

CONNECTIONS = 5
"""Of a leader: one for the lease, the others for its agents. A replica that waits has one. What
settles deadlines and scores has its own, so that it waits for no other agent."""

Agent = tuple[str, Callable[[], Awaitable[float | None]], float]
"""Its name, its turn, and the seconds between two turns."""

_STALE_SECONDS = 3 * HANGING_SECONDS

log = structlog.get_logger(__name__)


async def run(settings: MaintenanceSettings) -> int:
    """Maintain until told to stop; the exit code."""
    return await process.run("maintenance", settings, _serve)


async def _serve(settings: MaintenanceSettings, stopping: Stopping) -> None:
    await Maintenance(settings).run(stopping)


async def connect(settings: MaintenanceSettings) -> Connection:
    """Open a connection as a leader needs it."""
    return await postgres.connect(
        settings.database_url,
        application_name="shortlist-maintenance",
        settings=recovery.PLANNER_SETTINGS
        | {"statement_timeout": str(int(HANGING_SECONDS * 1000))},
    )


class Maintenance:
    """One replica."""

    def __init__(self, settings: MaintenanceSettings) -> None:
        """Nothing is opened before `run`."""
        self._settings = settings
        self._pool = ConnectionPool(self._connect, 0)
        self._hiring_pool = ConnectionPool(self._connect, 0)
        self._redis = redis.connect(settings.redis_url)
        self._broke_at = -float("inf")
        self.candidate = leader.Candidate(self._connect, leader.LEASE_SECONDS, self._lead)

    async def run(self, stopping: Stopping) -> None:
        """Serve probes, lead or wait to lead, until told to stop."""
        app = probes.probe_app(readiness=self._readiness, liveness=self._liveness)
        try:
            async with probes.serve_only_probes(app, self._settings):
                await self.candidate.run(stopping.drain)
        finally:
            await self._pool.close()
            await self._hiring_pool.close()
            await self._redis.aclose()

    async def _lead(self, leadership: Leadership) -> None:
        """Run every agent until one finds that this replica does not lead, or cancelled."""
        desk = self._desk(self._pool, leadership)
        hiring_desk = self._desk(self._hiring_pool, leadership)
        await self._pool.resize(CONNECTIONS - 1)
        await self._hiring_pool.resize(self._settings.maintenance_hiring_connections)
        work = [
            *_repeated(desk, self._agents(desk)),
            *_repeated(hiring_desk, _timely_agents(hiring_desk)),
        ]
        agents = [asyncio.create_task(agent) for agent in work]
        try:
            done, _ = await asyncio.wait(agents, return_when=asyncio.FIRST_COMPLETED)
            for agent in done:
                agent.result()
        finally:
            for agent in agents:
                agent.cancel()
            desk.cut()
            hiring_desk.cut()
            await tasks.end(agents)
            await asyncio.gather(*agents, return_exceptions=True)
            gauges.take_back()
            hiring_gauges.take_back()
            await self._pool.resize(0)
            await self._hiring_pool.resize(0)

    def _desk(self, pool: ConnectionPool, leadership: Leadership) -> LeaderContext:
        return LeaderContext(
            self._settings,
            pool,
            self._redis,
            leadership,
            lambda: self.candidate.heard_for_seconds,
        )

    def _agents(self, desk: LeaderContext) -> list[Agent]:
        sweeps = sweep.Sweeps(desk)
        memory = RedisLoss(desk)

        async def turn() -> None:
            await sweeps.learn_pipelines()
            await sweeps.turn(memory.restore_if_lost)

        dead = dead_workers.DeadWorkers(desk, sweeps, self._seconds_since_a_break)
        return [
            ("sweep", turn, sweep.INTERVAL_SECONDS),
            ("dead workers", dead.turn, dead_workers.POLL_INTERVAL_SECONDS),
            ("retries", retries.Retries(desk, sweeps).turn, retries.POLL_INTERVAL_SECONDS),
            ("consumers", consumers.Consumers(desk, sweeps).turn, consumers.POLL_INTERVAL_SECONDS),
            ("retention", retention.Retention(desk).turn, retention.PERIOD_SECONDS),
            ("gauges", gauges.Gauges(desk, sweeps).turn, gauges.PERIOD_SECONDS),
            (
                "hiring retention",
                hiring_retention.Retention(desk).turn,
                hiring_retention.PERIOD_SECONDS,
            ),
            ("hiring gauges", hiring_gauges.Gauges(desk).turn, hiring_gauges.PERIOD_SECONDS),
            ("snapshots", snapshots.Snapshots(desk).turn, snapshots.PERIOD_SECONDS),
        ]

    async def _connect(self) -> Connection:
        connection = await connect(self._settings)
        connection.add_termination_listener(self._broke)
        return connection

    def _broke(self, _: object) -> None:
        self._broke_at = time.monotonic()

    def _seconds_since_a_break(self) -> float:
        return time.monotonic() - self._broke_at

    async def _readiness(self) -> probes.Health:
        """Ready while Postgres names a leader, be it another, and both servers take writes."""
        postgres_answers = self.candidate.hears_postgres
        line = await redis.takes_writes(self._redis)
        return probes.Health(
            ok=postgres_answers and line,
            detail={
                "leading": self.candidate.leadership is not None,
                "postgres": postgres_answers,
                "redis": line,
            },
        )

    async def _liveness(self) -> probes.Health:
        """Report it dead once the loop stopped turning; a dead server is no reason to die."""
        silent_seconds = time.monotonic() - self.candidate.last_turn
        return probes.Health(ok=silent_seconds < _STALE_SECONDS)


def _timely_agents(desk: LeaderContext) -> list[Agent]:
    """Make those agents of hiring that people wait for."""
    telling = announcer.Announcer(desk)
    return [
        ("deadlines", deadlines.Deadlines(desk, telling).turn, deadlines.POLL_INTERVAL_SECONDS),
        ("scores", scores.Scores(desk, telling).turn, scores.POLL_INTERVAL_SECONDS),
        ("announcements", telling.turn, announcer.PERIOD_SECONDS),
    ]


def _repeated(desk: LeaderContext, agents: list[Agent]) -> list[Coroutine[None, None, None]]:
    """Return what runs them, and what watches over them."""
    return [desk.repeat(*agent) for agent in agents] + [desk.watch_for_hanging()]
