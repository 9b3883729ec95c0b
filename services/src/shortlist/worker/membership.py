"""Reports that this worker lives, and obeys the grants and drains that it gets in return.

To Postgres: a connection of the worker's own, with its lock (perJob) or its lease (perWrite).
To Redis: a heartbeat each second, answered by the grant and by orders to drain. A smaller grant
is obeyed in the order: fewer slots, let the excess finish, close the surplus, then acknowledge
the epoch; so the controller never counts a connection as free that is still open.
"""

from __future__ import annotations

import asyncio
import math
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from shortlist.domain.sizing.connections import claims_for, slots_for
from shortlist.runtime import tasks
from shortlist.storage import postgres
from shortlist.storage.postgres.queries import pipelines, workers
from shortlist.storage.redis import heartbeats
from shortlist.storage.trouble import Trouble
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.pool import ConnectionPool
    from shortlist.storage.redis import Redis
    from shortlist.worker.claims.lists import HeldLists
    from shortlist.worker.gate import Gate
    from shortlist.worker.slots import Limits
    from shortlist.worker.state import WorkerState

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 1.0
OWN_CONNECTIONS = 1
"""The one that tells Postgres that this worker lives; the pool has the others."""

_REENROL_SECONDS = 0.1

_SILENT_SECONDS = 3 * HEARTBEAT_SECONDS
"""A worker that Redis has not heard for so long is not ready."""


class Membership:
    """Keeps one worker known to Postgres and to its controller (`up` or the operator)."""

    def __init__(
        self,
        state: WorkerState,
        limits: Limits,
        pool: ConnectionPool,
        redis: Redis,
        gate: Gate,
        open_connection: Callable[[], Awaitable[Connection]],
        lists: HeldLists,
    ) -> None:
        """``open_connection`` opens the connection of the worker itself.

        ``lists``: of the applications that it is at.
        """
        self._lists = lists
        self._state = state
        self._limits = limits
        self._slots = limits.in_flight
        self._pool = pool
        self._redis = redis
        self._gate = gate
        self._open_connection = open_connection
        self._connection: Connection | None = None
        self._is_known = False
        self.last_turn = time.monotonic()
        """When both loops last went round; liveness watches it."""
        self._reported_at = -math.inf

    @property
    def open_connections(self) -> int:
        """Count every Postgres connection of this worker."""
        return self._pool.open + (self._connection is not None)

    @property
    def enrolled(self) -> bool:
        """Whether Postgres has this worker registered as alive."""
        alive = self._connection is not None and not self._connection.is_closed()
        return self._is_known and alive

    @property
    def reports(self) -> bool:
        """Whether Redis takes this worker's heartbeats."""
        return time.monotonic() - self._reported_at < _SILENT_SECONDS

    async def enrol(self) -> None:
        """Register the worker with Postgres; raises what Postgres raises."""
        self._is_known = False
        stale, self._connection = self._connection, None
        if stale is not None:
            await postgres.close_quickly(stale)
        self._connection = await self._open_connection()
        enrol = partial(
            workers.enrol,
            self._connection,
            self._state.worker_id,
            self._state.pipeline,
            self._state.mode,
        )
        await tasks.poll_until(enrol, _REENROL_SECONDS)
        # Each time: what a former server knew of, one that was restored may have to be told.
        await pipelines.ensure(self._connection, self._state.pipeline)
        self._is_known = True

    async def stay_enrolled(self) -> None:
        """Renew the lease each second, or register again after a break, until cancelled.

        Sooner after a failure: the lease runs meanwhile, and with it all that is held.
        """
        trouble = Trouble("staying enrolled", "postgres")
        while True:
            try:
                async with asyncio.timeout(workers.LEASE_SECONDS - HEARTBEAT_SECONDS):
                    await self._renew()
            except Exception as error:  # the next turn tries again, on another one
                fault = trouble.met(error)
                if self._connection is not None:
                    self._connection.terminate()
                await trouble.wait(fault)
            else:
                trouble.over()
                await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _renew(self) -> None:
        connection = self._connection
        if connection is None or connection.is_closed():
            await self.enrol()
        elif self._state.mode == "perJob":
            await postgres.refuse_read_only(connection)
        elif not await workers.renew(connection, self._state.worker_id, self._lists.make()):
            await self.enrol()

    async def send_heartbeats(self) -> None:
        """Send a heartbeat each second, and obey the orders that it returns, until cancelled."""
        trouble = Trouble("beating", "redis")
        while True:
            self.last_turn = time.monotonic()
            try:
                await self.send_heartbeat()
                trouble.over()
            except Exception as error:  # the next beat tries again
                trouble.met(error)
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def send_heartbeat(self) -> None:
        """Send one heartbeat, and obey its answer."""
        state = self._state
        heartbeat = state.heartbeat(
            now=time.time(),
            in_flight=self._slots.taken,
            open_connections=self.open_connections,
        )
        orders = await heartbeats.beat(self._redis, state.pipeline, heartbeat)
        self._reported_at = time.monotonic()
        await self._gate.poll()
        if orders.drain != state.ordered_to_drain:
            log.info("drain_ordered" if orders.drain else "drain_cancelled")
            state.ordered_to_drain = orders.drain
            self._slots.resize(self._slots.limit)  # wakes the puller, which looks again
        if orders.grant is not None:
            await self.obey_grant(orders.grant, orders.epoch)
        self._observe()

    async def obey_grant(self, grant: int, epoch: int) -> None:
        """Keep to a grant: slots first, then connections; acknowledge once it is true."""
        state = self._state
        if grant != state.grant:
            log.info("granted", connections=grant, before=state.grant, epoch=epoch)
        state.grant = grant
        limit = slots_for(
            grant, overhead=state.overhead, concurrency=state.concurrency, mode=state.mode
        )
        self._limits.resize(
            in_flight=claims_for(limit, overhead=state.overhead, mode=state.mode), scoring=limit
        )
        await self._pool.resize(max(0, grant - OWN_CONNECTIONS))
        if self.open_connections <= grant:
            state.epoch = epoch

    async def leave(self) -> None:
        """Deregister at both servers; a failure is harmless, as missing heartbeats do the same."""
        try:
            async with asyncio.timeout(2):
                await heartbeats.leave(self._redis, self._state.pipeline, self._state.worker_id)
        except Exception as error:  # the silence says the same later
            Trouble("leaving", "redis").met(error)
        if self._connection is None:
            return
        try:
            async with asyncio.timeout(2):
                await workers.leave(self._connection, self._state.worker_id)
        except Exception as error:  # the silence says the same later
            Trouble("leaving", "postgres").met(error)
        await postgres.close_quickly(self._connection)

    def _observe(self) -> None:
        state = self._state
        metrics.IN_FLIGHT.labels(state.pipeline).set(self._slots.taken)
        metrics.WORKER_SLOTS.labels(state.pipeline).set(self._slots.limit)
        metrics.CONNECTIONS_OPEN.labels("worker").set(self.open_connections)
        metrics.CONNECTIONS_GRANTED.labels("worker").set(state.grant)
