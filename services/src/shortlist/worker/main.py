"""Puts one worker together, runs it, and stops it without losing anything."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import structlog
from uuid_utils.compat import uuid7

from shortlist.domain.line.application import PipelineName, WorkerId
from shortlist.domain.line.retry import RetryPolicy
from shortlist.domain.sizing.connections import (
    PER_JOB_WANTS_SESSIONS,
    claims_for,
    connections_wanted,
    slots_for,
)
from shortlist.runtime import probes, process, tasks
from shortlist.settings import BadSettingsError
from shortlist.storage import postgres, redis
from shortlist.storage.postgres.pool import ConnectionPool
from shortlist.storage.postgres.queries.connection_limits import WORKER_APPLICATION_NAME
from shortlist.storage.redis.line import Line
from shortlist.storage.redis.model_limits import RateLimits
from shortlist.storage.trouble import open_troubles, persistently
from shortlist.worker import watchdog
from shortlist.worker.attempts import Attempts
from shortlist.worker.claims.lists import HeldLists
from shortlist.worker.claims.per_job import PerJobClaimStore
from shortlist.worker.claims.per_write import PerWriteClaimStore
from shortlist.worker.claims.store import WRITING_STEPS, Identity
from shortlist.worker.gate import Gate
from shortlist.worker.isolation.isolated import IsolatedScorer, most_side_by_side
from shortlist.worker.membership import HEARTBEAT_SECONDS, OWN_CONNECTIONS, Membership
from shortlist.worker.outbox import Outbox
from shortlist.worker.puller import BLOCK_SECONDS, Puller
from shortlist.worker.runner import Runner, Scorers
from shortlist.worker.scorers import make_scorer
from shortlist.worker.scorers.limited import LimitedScorer
from shortlist.worker.slots import Limits
from shortlist.worker.state import WorkerState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.domain.line.application import ApplicationId
    from shortlist.domain.line.scoring import Scorer
    from shortlist.runtime.process import Stopping
    from shortlist.settings import WorkerSettings
    from shortlist.worker.claims.store import ClaimStore

log = structlog.get_logger(__name__)

_STALE_SECONDS = 10 * HEARTBEAT_SECONDS

_PLANS = {"plan_cache_mode": "force_generic_plan"}
"""Each statement is planned once for each connection, not five times more: all of them look up
primary keys, whatever the parameters."""


async def run(settings: WorkerSettings) -> int:
    """Score until told to stop; the exit code."""
    return await process.run("worker", settings, _serve, is_traced=True)


async def _serve(settings: WorkerSettings, stopping: Stopping) -> None:
    if settings.database_url.pooler is not None and settings.connection_mode == "perJob":
        raise BadSettingsError(f"SHORTLIST_CONNECTION_MODE: {PER_JOB_WANTS_SESSIONS}")
    worker = Worker(settings)
    async with watchdog.ended_when_hanging():
        await worker.run(stopping)


async def _start_nothing() -> None:
    """Start nothing: a scorer of a test's own needs nothing."""


def _initial_state(settings: WorkerSettings) -> WorkerState:
    """Return what a worker knows of itself before it has asked any server."""
    mode = settings.connection_mode
    grant = settings.initial_grant or connections_wanted(
        concurrency=settings.concurrency, overhead=settings.connection_overhead, mode=mode
    )
    return WorkerState(
        worker_id=WorkerId(uuid7()),
        pipeline=PipelineName(settings.pipeline),
        mode=mode,
        concurrency=settings.concurrency,
        overhead=settings.connection_overhead,
        grant=grant,
        started_at=time.time(),
    )


def _initial_limits(state: WorkerState) -> Limits:
    """Return the slots that the first grant allows for."""
    scores = slots_for(
        state.grant, overhead=state.overhead, concurrency=state.concurrency, mode=state.mode
    )
    in_flight = claims_for(scores, overhead=state.overhead, mode=state.mode)
    return Limits.of(in_flight=in_flight, scoring=scores)


class Worker:
    """Runs one worker: starts its parts in order, and stops them."""

    def __init__(self, settings: WorkerSettings, scorer: Scorer | None = None) -> None:
        """Nothing is opened before `run`. ``scorer``: not the settings', for suspects too."""
        self._settings = settings
        self._state = _initial_state(settings)
        self._limits = _initial_limits(self._state)
        open_connection = partial(
            postgres.connect,
            settings.database_url,
            application_name=f"{WORKER_APPLICATION_NAME}{self._state.worker_id}",
            settings=_PLANS,
        )
        self._pool = ConnectionPool(open_connection, max(0, self._state.grant - OWN_CONNECTIONS))
        self._redis = redis.connect(settings.redis_url)
        self._pulling_redis = redis.connect(settings.redis_url, timeout_seconds=BLOCK_SECONDS + 2)
        self._line = Line(self._redis, self._state.pipeline)
        self._outbox = Outbox(self._redis, self._line)
        self._gate = Gate(self._redis, self._state.pipeline, self._state.worker_id)
        self._lists = HeldLists(self._in_work)
        self._membership = Membership(
            self._state,
            self._limits,
            self._pool,
            self._redis,
            self._gate,
            open_connection,
            self._lists,
        )
        self._scorer = self._limited(scorer or make_scorer(settings))
        isolated = IsolatedScorer(settings)
        self._isolated = self._limited(scorer or isolated)
        self._runner = self._make_runner(_start_nothing if scorer else isolated.start)
        self._puller = Puller(
            self._state,
            self._gate,
            self._limits.in_flight,
            Line(self._pulling_redis, self._state.pipeline),
            self._outbox,
            self._runner.start,
            self._runner.is_known,
        )

    def _make_runner(self, start_isolation: Callable[[], Awaitable[None]]) -> Runner:
        attempts = Attempts(
            state=self._state,
            gate=self._gate,
            limits=self._limits,
            outbox=self._outbox,
            policy=RetryPolicy(max_attempts=self._settings.max_attempts),
            score_timeout_seconds=self._settings.score_timeout_seconds,
        )
        scorers = Scorers(self._scorer, self._isolated, most_side_by_side(), start_isolation)
        return Runner(
            state=self._state,
            gate=self._gate,
            limits=self._limits,
            claims=self._claims(),
            attempts=attempts,
            scorers=scorers,
            line=self._line,
            outbox=self._outbox,
        )

    def _in_work(self) -> list[ApplicationId]:
        return self._runner.in_work()

    async def run(self, stopping: Stopping) -> None:
        """Serve the line until told to stop."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            app = probes.probe_app(readiness=self._readiness, liveness=self._liveness)
            await stack.enter_async_context(probes.serve_only_probes(app, self._settings))
            await self._serve_line(stopping.drain)

    async def _serve_line(self, stop: asyncio.Event) -> None:
        # A missing schema is worth another try: on Kubernetes everything starts at once.
        enrolling = asyncio.create_task(persistently(self._membership.enrol, "enrolling"))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({enrolling, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not enrolling.done():
            enrolling.cancel()
            return
        enrolling.result()
        self._state.ready_at, self._state.ready_monotonic = time.time(), time.monotonic()
        log.info("ready", worker=str(self._state.worker_id), mode=self._state.mode)
        background = [
            asyncio.create_task(self._membership.stay_enrolled(), name="enrolment"),
            asyncio.create_task(self._membership.send_heartbeats(), name="heartbeat"),
            asyncio.create_task(self._puller.run(), name="puller"),
        ]
        try:
            await asyncio.wait({stopping, *background}, return_when=asyncio.FIRST_COMPLETED)
            for task in background:
                if task.done():
                    task.result()  # none of them ends by itself: it broke, and so do we
            await self._drain(background[-1])
        finally:
            await tasks.end(background)
            await self._runner.end()  # there is something only when it is to end at once
            await self._membership.leave()

    async def _drain(self, pulling: asyncio.Task[None]) -> None:
        """Pull no more; finish what is held, or give it back when the grace is over."""
        self._state.stopping = True
        log.info("draining", held=self._runner.deliveries)
        deadline = time.monotonic() + self._settings.drain_timeout_seconds
        self._runner.take_no_more()
        # Its last read ends by itself: cancelled, it could lose entries that Redis delivered to it.
        await asyncio.wait([pulling], timeout=BLOCK_SECONDS + 0.5)
        given_back = await self._runner.finish(deadline - time.monotonic())
        await self._outbox.flush()
        log.info("drained", given_back=given_back)

    async def _close(self) -> None:
        await self._pool.close()
        await self._scorer.close()
        await self._isolated.close()
        await self._outbox.end()
        await self._redis.aclose()
        await self._pulling_redis.aclose()

    def _limited(self, scorer: Scorer) -> Scorer:
        limits = RateLimits(
            self._redis,
            self._state.pipeline,
            requests_per_minute=self._settings.requests_per_minute,
            tokens_per_minute=self._settings.tokens_per_minute,
        )
        return LimitedScorer(scorer, limits) if limits else scorer

    def _claims(self) -> ClaimStore:
        identity = Identity(self._state.worker_id, self._state.pipeline)
        if self._state.mode == "perJob":
            return PerJobClaimStore(self._pool, identity)
        return PerWriteClaimStore(self._pool, identity, self._lists)

    async def _readiness(self) -> probes.Health:
        """Report ready while both servers take what it writes, until it is told to stop."""
        enrolled, reports = self._membership.enrolled, self._membership.reports
        troubles = open_troubles()
        can_write = WRITING_STEPS.isdisjoint(troubles)
        return probes.Health(
            ok=enrolled and reports and can_write and not self._state.stopping,
            detail={
                "worker": str(self._state.worker_id),
                "draining": not self._state.may_pull,
                "postgres": enrolled,
                "redis": reports,
                "refused": self._gate.refused,  # a restart would not help, so it is ready
                "troubles": troubles,
            },
        )

    async def _liveness(self) -> probes.Health:
        """Report alive while the heartbeat loop turns; a dead server is no reason to die.

        Before the worker is enrolled there is no such loop, and Postgres may be away for long.
        """
        silent_seconds = time.monotonic() - self._membership.last_turn
        return probes.Health(ok=not self._state.ready_at or silent_seconds < _STALE_SECONDS)
