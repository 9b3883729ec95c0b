"""Connections that come back by themselves, and work on them that ends by its deadline."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from shortlist.storage import postgres
from shortlist.storage.faults import Fault, OutcomeError
from shortlist.storage.postgres import ServerClock
from shortlist.storage.postgres.pool import ConnectionPool, PoolClosedError
from shortlist.storage.trouble import Trouble
from shortlist.storage.unavailable import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from shortlist.storage.postgres import Connection
    from shortlist.urls import DatabaseUrl

T = TypeVar("T")

_RETRY_SECONDS = 0.05
"""Between two tries; a Postgres that restarts answers within a second."""

_GONE_MILLISECONDS = "100"
"""How soon Postgres notices, in the middle of a statement, that we have hung up."""


class Database:
    """Runs statements on at most so many connections to Postgres.

    Work that a broken connection interrupted is tried again until its deadline, so it must be safe
    to repeat. A connection that failed or was left in the middle of something is never used again.
    """

    def __init__(
        self,
        url: DatabaseUrl | str,
        *,
        name: str,
        connections: int,
        timeout_seconds: float,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            url: of the database.
            name: what Postgres and the logs call its connections, like ``shortlist-ingest accept``.
            connections: at most.
            timeout_seconds: for `read`, and for each statement.
            settings: of each session, beside those that every `Database` has.
        """
        self._url = url
        self._name = name
        self._timeout_seconds = timeout_seconds
        self._settings = settings or {}
        self._pool = ConnectionPool(self._open, connections)
        self.clock: ServerClock | None = None
        """Postgres's clock, as it was found last."""

    @property
    def open(self) -> int:
        """Count the connections that Postgres counts as ours."""
        return self._pool.open

    @property
    def timeout_seconds(self) -> float:
        """Return how long a client may wait for an answer."""
        return self._timeout_seconds

    async def read(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do some work now.

        Raises `DatabaseUnavailableError` when it is not done within the time-out.
        """
        return await self.run(work, time.monotonic() + self._timeout_seconds)

    async def run(self, work: Callable[[Connection], Awaitable[T]], deadline: float) -> T:
        """Do some work by ``deadline`` (monotonic seconds), or raise `DatabaseUnavailableError`.

        What is the work's own trouble, or a bug, is raised as it is, and so is an `OutcomeError`.
        """
        trouble = Trouble(self._name, "postgres")
        try:
            while True:
                try:
                    async with asyncio.timeout(deadline - time.monotonic()):
                        return await self._attempt(work)
                except OutcomeError:
                    raise
                except PoolClosedError as error:  # this process ends
                    raise DatabaseUnavailableError from error
                except Exception as error:  # `fault_of` decides
                    await self._again(trouble, error, deadline)
        finally:
            trouble.over()

    async def _again(self, trouble: Trouble, error: Exception, deadline: float) -> None:
        """Wait before the next try; raises when none would help, or none is left."""
        fault = trouble.met(error)
        if fault in {Fault.ITEM, Fault.BUG}:
            raise error
        late = time.monotonic() + _RETRY_SECONDS >= deadline
        if late or fault is Fault.EVERYONE:
            raise DatabaseUnavailableError from error
        await asyncio.sleep(_RETRY_SECONDS)

    def learn_clock(self, clock: ServerClock) -> None:
        """Take over Postgres's clock, which may have been set."""
        self.clock = clock

    async def close(self) -> None:
        """Close the connections; those in use as they come back."""
        await self._pool.close()

    async def _attempt(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        connection = await self._pool.acquire()
        try:
            return await work(connection)
        except BaseException:
            connection.terminate()
            raise
        finally:
            await self._pool.release(connection)

    async def _open(self) -> Connection:
        connection = await postgres.connect(
            self._url,
            application_name=self._name,
            # The server gives up too, so that nothing is committed for a client that has gone.
            settings={
                "statement_timeout": str(int(self._timeout_seconds * 1000)),
                "client_connection_check_interval": _GONE_MILLISECONDS,
                **self._settings,
            },
        )
        self.learn_clock(await ServerClock.read(connection))
        return connection
