"""What every agent works with while this replica leads: servers, and the right to write."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from shortlist.runtime.failpoints import failpoint
from shortlist.storage.postgres.queries import leases
from shortlist.storage.postgres.queries.leases import NotLeadingError
from shortlist.storage.redis.line import Line
from shortlist.storage.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from shortlist.domain.line.application import PipelineName
    from shortlist.maintenance.leader import Leadership
    from shortlist.settings import MaintenanceSettings
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.pool import ConnectionPool
    from shortlist.storage.redis import Redis

HANGING_SECONDS = 20.0
"""An agent whose turn goes on for so long waits for a server that does not answer."""

WORKERS_ARE_BACK_SECONDS = 3.5
"""After Postgres is heard again, a worker that lives has said so by then. Until then its lease may
have run out, or its locks may be gone, because no worker could tell Postgres anything:

    2.0 s  a try at a server that does not answer is given up (`worker.membership`, `connect`)
    1.0 s  at most until the next one (`storage.trouble`)
    0.5 s  to connect and to be known
"""

_WATCH_SECONDS = 1.0

log = structlog.get_logger(__name__)


class LeaderContext:
    """One leader's tools. Connections lent here are cut when the lead ends, or when they hang."""

    def __init__(
        self,
        settings: MaintenanceSettings,
        pool: ConnectionPool,
        redis: Redis,
        leadership: Leadership,
        heard_for_seconds: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """``pool`` has a connection for most agents; all of them must not wait for one at once.

        ``heard_for_seconds``: for how long Postgres has been heard without a break.
        """
        self.settings = settings
        self.redis = redis
        self.actor = f"maintenance:{leadership.lease.term}"
        """Who writes, for the audit log."""
        self._pool = pool
        self._leadership = leadership
        self._heard_for_seconds = heard_for_seconds
        self._lent: set[Connection] = set()
        self._turns: dict[str, float] = {}

    def line(self, pipeline: PipelineName) -> Line:
        """Return one pipeline's line."""
        return Line(self.redis, pipeline)

    @property
    def workers_may_be_late(self) -> bool:
        """Whether a worker that looks dead may live, and have found no Postgres to tell."""
        return self._heard_for_seconds() < WORKERS_ARE_BACK_SECONDS

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection to read with."""
        async with self._pool.connection() as connection:
            self._lent.add(connection)
            try:
                yield connection
            finally:
                self._lent.discard(connection)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Connection]:
        """Open a transaction that commits only if this replica leads, or `NotLeadingError`.

        What is published to Redis is published inside one, too: Redis knows no fences, but
        no other replica starts to lead before it has ended.
        """
        async with self.connection() as connection:
            await failpoint("maintenance.mid_lead")
            self._leadership.check()
            async with leases.leading(connection, self._leadership.lease):
                yield connection

    def cut(self) -> None:
        """Break every lent connection: agents that wait for a reply stop waiting."""
        for connection in self._lent:
            connection.terminate()

    def goes_on(self) -> None:
        """Reset the watchdog; long-running agents call it between batches."""
        self._turns = dict.fromkeys(self._turns, time.monotonic())

    async def repeat(
        self, agent: str, turn: Callable[[], Awaitable[float | None]], period_seconds: float
    ) -> None:
        """Run an agent's turns until the lead ends; survives whatever the servers do.

        A turn may return how many seconds to sleep instead of the period. Raises
        `NotLeadingError`, and nothing else.
        """
        trouble, task = Trouble(f"maintaining: {agent}", "server"), asyncio.current_task()
        while True:
            self._turns[agent] = time.monotonic()
            pause: float | None = None
            try:
                pause = await turn()
                trouble.over()
            except NotLeadingError:
                raise
            except Exception as error:  # one bad turn must not stop all the others
                trouble.met(error)
            if task is not None and task.cancelling():
                # A cut connection makes a transaction end with an error of its own, which takes
                # the place of the cancellation.
                raise asyncio.CancelledError
            del self._turns[agent]
            await asyncio.sleep(period_seconds if pause is None else pause)

    async def watch_for_hanging(self) -> None:
        """Cut the connections when an agent hangs, so that it may try again. Runs for ever."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            now = time.monotonic()
            hanging = [a for a, at in self._turns.items() if now - at > HANGING_SECONDS]
            if hanging:
                log.warning("agents_hang", agents=hanging)
                self.cut()
                self._turns.update(dict.fromkeys(hanging, now))
