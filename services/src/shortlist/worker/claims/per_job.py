"""Claims that live on a connection each (``perJob``): its session lock is the claim's life.

When the connection breaks, the worker takes the claim again on another one at once: no other worker
has claimed it in between as long as its attempt is still the latest, so the score that is under way
goes on.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from shortlist.domain.line.application import Claim
from shortlist.runtime import tasks
from shortlist.runtime.batching import Batcher
from shortlist.storage import postgres
from shortlist.storage.faults import breaks_connection, may_be_of_one
from shortlist.storage.postgres.queries import claims
from shortlist.storage.trouble import persistently
from shortlist.worker.claims.store import (
    CLAIMING,
    COMPLETING,
    RECLAIMING,
    ClaimLostError,
    ClaimStore,
    HeldClaim,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.domain.line.application import ApplicationId, Verdict
    from shortlist.domain.line.suspicion import Suspect
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.pool import ConnectionPool
    from shortlist.worker.claims.store import ClaimOptions, Identity

log = structlog.get_logger(__name__)
T = TypeVar("T")


class PerJobClaim(HeldClaim):
    """Holds one claim and the connection that it lives on."""

    def __init__(
        self,
        store: PerJobClaimStore,
        connection: Connection,
        claim: Claim,
        on_loss: Callable[[], None],
    ) -> None:
        """Keep ``connection``, which holds the session lock of the claim's application."""
        super().__init__(claim, store.identity)
        self._store = store
        self._pool = store.pool
        self._connection: Connection | None = connection
        self._on_loss = on_loss
        self._resuming: asyncio.Task[bool] | None = None
        self._lost = False
        connection.add_termination_listener(self._connection_broke)

    async def complete(self, verdict: Verdict) -> None:
        """Write together with whatever else is ready now, on a connection that holds a claim."""
        if not await self._store.completing.submit((self, verdict)):
            raise ClaimLostError

    async def run(self, operation: Callable[[Connection], Awaitable[T]], step: str) -> T:
        """Run it where the claim lives; when that breaks or refuses, where it lives next.

        `ClaimLostError` when it lives nowhere any more.
        """

        async def run() -> T:
            if self._resuming is not None:
                await asyncio.shield(self._resuming)
            connection = self._connection
            if self._lost or connection is None:
                raise ClaimLostError
            try:
                return await operation(connection)
            except Exception as error:
                if breaks_connection(error) and connection is self._connection:
                    self._connection_broke(connection)
                raise

        return await persistently(run, step)

    async def release(self) -> None:
        """Unlock and give the connection back, even when the worker stops at once."""
        await asyncio.shield(asyncio.ensure_future(self._release()))

    async def _release(self) -> None:
        if self._resuming is not None:
            resuming = self._resuming
            await tasks.end([resuming])
            await asyncio.gather(resuming, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.remove_termination_listener(self._connection_broke)
        try:
            if not connection.is_closed():
                await postgres.unlock(connection, self.claim.application_id)
        except Exception as error:  # whatever it is, the lock goes with it
            log.warning("postgres_unavailable", doing="releasing a claim", error=repr(error))
            connection.terminate()
        finally:
            await self._pool.release(connection)

    def _connection_broke(self, _: Any) -> None:
        if self._connection is None or self._resuming is not None or self._lost:
            return
        self._resuming = asyncio.get_running_loop().create_task(self._resume())
        self._resuming.add_done_callback(self._resumed)

    def _resumed(self, task: asyncio.Task[bool]) -> None:
        self._resuming = None
        if task.cancelled():
            return
        self._lost = task.exception() is not None or not task.result()  # a closed pool's, for one
        if self._lost:
            self._on_loss()

    async def _resume(self) -> bool:
        """Take the claim again; False when it is not ours any more."""
        broken, self._connection = self._connection, None
        if broken is not None:
            broken.remove_termination_listener(self._connection_broke)
            await self._pool.discard(broken)  # its lock is free when the next one asks for it
        return await persistently(self._reclaim, RECLAIMING)

    async def _reclaim(self) -> bool:
        """Claim again on another connection of the pool; False when the claim is lost."""
        connection = await self._pool.acquire()
        try:
            if not await claims.reclaim(connection, self.claim, self._identity.worker_id):
                await self._pool.release(connection)
                return False
        except BaseException:
            connection.terminate()
            await self._pool.release(connection)
            raise
        connection.add_termination_listener(self._connection_broke)
        self._connection = connection
        return True


class PerJobClaimStore(ClaimStore):
    """Gets claims that live on a connection each."""

    def __init__(self, pool: ConnectionPool, identity: Identity) -> None:
        """``pool`` has a connection for every application in flight."""
        super().__init__(pool, identity)
        self.completing = Batcher(self._complete_all, overlap=2, apart=may_be_of_one)

    async def _claim(
        self, application_id: ApplicationId, on_loss: Callable[[], None], options: ClaimOptions
    ) -> PerJobClaim | Suspect | None:
        async def claim() -> tuple[Connection, Claim] | Suspect | None:
            connection = await self.pool.acquire()
            try:
                claimed = await claims.claim_held(
                    connection,
                    application_id,
                    self.identity.worker_id,
                    alone=options.alone,
                    suspects=options.suspects,
                )
            except BaseException:
                connection.terminate()  # what it may have locked goes with it
                await self.pool.release(connection)
                raise
            if isinstance(claimed, Claim):
                return connection, claimed
            await self.pool.release(connection)
            return claimed

        claimed = await persistently(claim, CLAIMING)
        return PerJobClaim(self, *claimed, on_loss) if isinstance(claimed, tuple) else claimed

    async def _complete_all(self, writes: list[tuple[PerJobClaim, Verdict]]) -> list[bool]:
        """Write all in one transaction, on the connection of the first that still has one.

        For those that have lost theirs the fence decides, as it does for all.
        """
        write = partial(self._write, [verdict for _, verdict in writes])
        for held, _ in writes:
            with suppress(ClaimLostError):
                return await held.run(write, COMPLETING)
        return [False] * len(writes)
