"""The right to score one application, in both connection modes, behind one interface.

``HeldOnConnection`` (perJob) keeps a connection for the whole score; its session lock is the
claim's life. When the connection breaks, it takes the claim again on a new one at once: nobody
else has claimed it in between as long as its attempt is still the latest, so the score that is
under way goes on. ``HeldByLease`` (perWrite) borrows connections for milliseconds, many
applications at once in one statement; the worker's lease is the claim's life.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args

import structlog

from shortlist import telemetry
from shortlist.batching import Batcher
from shortlist.domain.application import Claim
from shortlist.domain.suspicion import Suspect
from shortlist.failpoints import guarded
from shortlist.storage import claims, postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from shortlist.domain.application import ApplicationId, PipelineName, Verdict, WorkerId
    from shortlist.storage.pool import ConnectionPool
    from shortlist.storage.postgres import Connection

log = structlog.get_logger(__name__)
T = TypeVar("T")

_RECONNECT_CEILING_SECONDS = 1.0

Company = Literal["others", "none", "none_for_a_suspect"]
"""What else a worker holds while it holds a claim: other claims, none by its nature (it scores one
at a time), or none because it has let all others end."""

_FLAGS: dict[Company, dict[str, bool]] = {
    "others": {},
    "none": {"alone": True},
    "none_for_a_suspect": {"alone": True, "suspects": True},
}


class ClaimLostError(Exception):
    """Somebody else scores it by now, or it is finished: write nothing, acknowledge, forget."""


class SuspectError(Exception):
    """It may only be claimed alone: nothing was claimed."""

    def __init__(self, suspect: Suspect) -> None:
        """Keep what is known of it."""
        super().__init__(suspect.application_id)
        self.suspect = suspect


class Hold(Protocol):
    """A claim that this worker holds now."""

    claim: Claim

    async def complete(self, verdict: Verdict) -> None:
        """Write the verdict; `ClaimLostError` when it did not count."""
        ...

    async def ended(self, outcome: str) -> int:
        """Attempts of this application that ended so before this one."""
        ...

    async def end(self, outcome: str, detail: str, retry_seconds: float | None) -> None:
        """End the attempt without a verdict, to be tried again after a while (None: at once)."""
        ...


class Holder(Protocol):
    """Gets claims, in one of the two modes."""

    def hold(
        self, application_id: ApplicationId, on_loss: Callable[[], None], company: Company
    ) -> AbstractAsyncContextManager[Hold | None]:
        """Claim for the length of a block; the block gets None when the claim is refused.

        ``on_loss`` is called when the claim is lost while it is held: stop scoring. A suspect
        raises `SuspectError`, unless it is for one that this worker is alone.
        """
        ...

    async def postpone(self, application_id: ApplicationId, seconds: float) -> None:
        """Have it put back in the line after a while, without an attempt."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who claims."""

    worker_id: WorkerId
    pipeline: PipelineName


async def persistently(
    operation: Callable[[], Awaitable[T]],
    what: str,
    *,
    errors: tuple[type[BaseException], ...] = postgres.CONNECTION_ERRORS,
) -> T:
    """Do it until Postgres answers; full jitter between the tries. Cancel to give up.

    Only for operations that may be done twice. ``errors``: what is worth another try.
    """
    failures = 0
    while True:
        try:
            return await operation()
        except errors as error:
            failures += 1
            log.warning("postgres_unavailable", doing=what, error=repr(error), failures=failures)
            ceiling = min(_RECONNECT_CEILING_SECONDS, 0.05 * 2 ** min(failures, 10))
            await asyncio.sleep(random.uniform(0, ceiling))  # noqa: S311 (spreads load)


class HeldOnConnection:
    """One claim and the connection that it lives on (``perJob``)."""

    def __init__(
        self,
        holder: ConnectionHolder,
        connection: Connection,
        claim: Claim,
        on_loss: Callable[[], None],
    ) -> None:
        """``connection`` holds the session lock of the claim's application."""
        self.claim = claim
        self._holder = holder
        self._pool = holder.pool
        self._identity = holder.identity
        self._connection: Connection | None = connection
        self._on_loss = on_loss
        self._resuming: asyncio.Task[bool] | None = None
        self._lost = False
        connection.add_termination_listener(self._connection_broke)

    async def complete(self, verdict: Verdict) -> None:
        """Write together with whatever else is ready now, on a connection that holds a claim."""
        if not await self._holder.completing.submit((self, verdict)):
            raise ClaimLostError

    async def ended(self, outcome: str) -> int:
        """Attempts that ended so before this one."""

        async def read(connection: Connection) -> int:
            return await claims.ended(connection, self.claim.application_id, outcome)

        return await self.on_held_connection(read)

    async def end(self, outcome: str, detail: str, retry_seconds: float | None) -> None:
        """End the attempt on the connection that holds the claim."""

        async def write(connection: Connection) -> bool:
            return await claims.end_attempt(
                connection,
                self.claim,
                self._identity.pipeline,
                self._identity.worker_id,
                outcome=outcome,
                detail=detail,
                retry_seconds=retry_seconds,
            )

        if not await self.on_held_connection(write):
            raise ClaimLostError

    async def release(self) -> None:
        """Unlock and give the connection back. The verdict, if there is one, is committed."""
        if self._resuming is not None:
            self._resuming.cancel()
            await asyncio.gather(self._resuming, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.remove_termination_listener(self._connection_broke)
        try:
            if not connection.is_closed():
                await postgres.unlock(connection, self.claim.application_id)
        except postgres.CONNECTION_ERRORS:
            connection.terminate()  # the lock goes with it
        finally:
            await self._pool.release(connection)

    async def on_held_connection(self, operation: Callable[[Connection], Awaitable[T]]) -> T:
        """Run it where the claim lives; when that breaks, where it lives next.

        `ClaimLostError` when it lives nowhere any more.
        """
        while True:
            if self._resuming is not None:
                await asyncio.shield(self._resuming)
            if self._lost or self._connection is None:
                raise ClaimLostError
            try:
                return await operation(self._connection)
            except postgres.CONNECTION_ERRORS as error:
                log.warning("connection_lost_while_writing", error=repr(error))
                self._connection.terminate()
                self._connection_broke(self._connection)

    def _connection_broke(self, _: Any) -> None:
        if self._connection is None or self._resuming is not None or self._lost:
            return
        self._resuming = asyncio.get_running_loop().create_task(self._resume())
        self._resuming.add_done_callback(self._resumed)

    def _resumed(self, task: asyncio.Task[bool]) -> None:
        self._resuming = None
        if task.cancelled():
            return
        self._lost = not task.result()
        if self._lost:
            self._on_loss()

    async def _resume(self) -> bool:
        """Hold the claim again; False when it is not ours any more."""
        broken, self._connection = self._connection, None
        if broken is not None:
            await self._pool.release(broken)
        if not guarded("resume"):
            return False

        async def reclaim() -> bool:
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

        return await persistently(reclaim, "taking a claim again")


class ConnectionHolder:
    """Gets claims that live on a connection each (``perJob``)."""

    def __init__(self, pool: ConnectionPool, identity: Identity) -> None:
        """``pool`` has a connection for every application in flight."""
        self.pool = pool
        self.identity = identity
        self.completing = Batcher(self._complete_all, overlap=2)

    @asynccontextmanager
    async def hold(
        self, application_id: ApplicationId, on_loss: Callable[[], None], company: Company
    ) -> AsyncIterator[HeldOnConnection | None]:
        """Claim for the length of a block."""

        async def claim() -> tuple[Connection, Claim] | None:
            connection = await self.pool.acquire()
            try:
                claimed = await claims.claim_held(
                    connection, application_id, self.identity.worker_id, **_FLAGS[company]
                )
            except BaseException:
                connection.terminate()  # what it may have locked goes with it
                await self.pool.release(connection)
                raise
            if isinstance(claimed, Claim):
                return connection, claimed
            await self.pool.release(connection)
            if claimed is not None:
                raise SuspectError(claimed)
            return None

        with telemetry.database_span("claim"):
            got = await persistently(claim, "claiming")
        if got is None:
            yield None
            return
        held = HeldOnConnection(self, *got, on_loss)
        try:
            yield held
        finally:
            await asyncio.shield(asyncio.ensure_future(held.release()))

    async def postpone(self, application_id: ApplicationId, seconds: float) -> None:
        """Have it put back in the line after a while."""

        async def write() -> None:
            async with self.pool.connection() as connection:
                await claims.postpone(connection, application_id, self.identity.pipeline, seconds)

        await persistently(write, "postponing")

    async def _complete_all(self, writes: list[tuple[HeldOnConnection, Verdict]]) -> list[bool]:
        """One transaction, on the connection of the first of them that still has one.

        For those that have lost theirs the fence decides, as it does for all.
        """
        verdicts = [verdict for _, verdict in writes]
        write = partial(_write, self.identity, verdicts)
        for held, _ in writes:
            with suppress(ClaimLostError):
                return await held.on_held_connection(write)
        return [False] * len(writes)


class HeldByLease:
    """One claim of a worker whose lease is renewed elsewhere (``perWrite``)."""

    def __init__(self, holder: LeaseHolder, claim: Claim) -> None:
        """``holder`` writes for all claims of this worker."""
        self.claim = claim
        self._holder = holder

    async def complete(self, verdict: Verdict) -> None:
        """Write together with whatever else is ready now."""
        if not await self._holder.completing.submit(verdict):
            raise ClaimLostError

    async def ended(self, outcome: str) -> int:
        """Attempts that ended so before this one."""

        async def read(connection: Connection) -> int:
            return await claims.ended(connection, self.claim.application_id, outcome)

        return await self._holder.on_some_connection(read, "counting errors")

    async def end(self, outcome: str, detail: str, retry_seconds: float | None) -> None:
        """End the attempt."""

        async def write(connection: Connection) -> bool:
            return await claims.end_attempt(
                connection,
                self.claim,
                self._holder.identity.pipeline,
                self._holder.identity.worker_id,
                outcome=outcome,
                detail=detail,
                retry_seconds=retry_seconds,
            )

        if not await self._holder.on_some_connection(write, "ending an attempt"):
            raise ClaimLostError


class LeaseHolder:
    """Gets claims that live by the worker's lease, many in one statement (``perWrite``)."""

    def __init__(self, pool: ConnectionPool, identity: Identity) -> None:
        """``pool`` needs one connection at least; two let claiming and completing overlap."""
        self._pool = pool
        self.identity = identity
        self._claiming = {c: Batcher(partial(self._claim_all, c)) for c in get_args(Company)}
        self.completing = Batcher(self._complete_all)

    @asynccontextmanager
    async def hold(
        self, application_id: ApplicationId, on_loss: Callable[[], None], company: Company
    ) -> AsyncIterator[HeldByLease | None]:
        """Claim for the length of a block."""
        del on_loss  # a lease that ran out is noticed by the fence, when the verdict is written
        with telemetry.database_span("claim"):
            claim = await self._claiming[company].submit(application_id)
        if isinstance(claim, Suspect):
            raise SuspectError(claim)
        yield None if claim is None else HeldByLease(self, claim)

    async def postpone(self, application_id: ApplicationId, seconds: float) -> None:
        """Have it put back in the line after a while."""

        async def write(connection: Connection) -> None:
            await claims.postpone(connection, application_id, self.identity.pipeline, seconds)

        await self.on_some_connection(write, "postponing")

    async def on_some_connection(
        self, operation: Callable[[Connection], Awaitable[T]], what: str
    ) -> T:
        """Run it until Postgres answers."""

        async def run() -> T:
            async with self._pool.connection() as connection:
                return await operation(connection)

        return await persistently(run, what)

    async def _claim_all(
        self, company: Company, ids: list[ApplicationId]
    ) -> list[Claim | Suspect | None]:
        async def claim(connection: Connection) -> list[Claim | Suspect]:
            return await claims.claim_leased(
                connection, ids, self.identity.worker_id, **_FLAGS[company]
            )

        claimed = {c.application_id: c for c in await self.on_some_connection(claim, "claiming")}
        # popped, so that an id that was delivered twice is scored once
        return [claimed.pop(application_id, None) for application_id in ids]

    async def _complete_all(self, verdicts: list[Verdict]) -> list[bool]:
        write = partial(_write, self.identity, verdicts)
        return await self.on_some_connection(write, "completing")


async def _write(identity: Identity, verdicts: list[Verdict], connection: Connection) -> list[bool]:
    """Complete; which of the verdicts counted."""
    counted = await claims.complete(
        connection, verdicts, pipeline=identity.pipeline, worker_id=identity.worker_id
    )
    return [verdict.application_id in counted for verdict in verdicts]
