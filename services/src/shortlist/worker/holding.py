"""The right to score one application, in both connection modes, behind one interface.

``HeldOnConnection`` (perJob) keeps a connection for the whole score; its session lock is the
claim's life. When the connection breaks, it takes the claim again on a new one at once: no other
worker has claimed it in between as long as its attempt is still the latest, so the score that is
under way goes on. ``HeldByLease`` (perWrite) borrows connections for milliseconds, many
applications at once in one statement; the worker's lease is the claim's life.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args

import structlog

from shortlist.domain.errors import ShortlistError
from shortlist.domain.line.application import Claim
from shortlist.domain.line.suspicion import Suspect
from shortlist.runtime.batching import Batcher
from shortlist.storage import postgres
from shortlist.storage.faults import Answer, Fault, breaks_connection, fault_of, may_be_of_one, said
from shortlist.storage.postgres.queries import claims
from shortlist.storage.trouble import persistently
from shortlist.telemetry import traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from shortlist.domain.line.application import ApplicationId, PipelineName, Verdict, WorkerId
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.pool import ConnectionPool
    from shortlist.worker.lists import HeldLists

log = structlog.get_logger(__name__)
T = TypeVar("T")

CLAIMING, RECLAIMING = "claiming", "taking a claim again"
COMPLETING, ENDING, COUNTING = "completing", "ending an attempt", "counting errors"
WRITING_STEPS = frozenset({CLAIMING, RECLAIMING, COMPLETING, ENDING, COUNTING})
"""Without these a worker is of no use: it is not ready while one of them fails."""

Company = Literal["others", "others_for_a_suspect", "none", "none_for_a_suspect"]
"""What else a worker holds while it holds a claim: other claims, none by its nature (it scores one
at a time), or none because it has let all others end. Suspects are claimed only where they are
scored in a process of their own."""

_FLAGS: dict[Company, dict[str, bool]] = {
    "others": {},
    "others_for_a_suspect": {"suspects": True},
    "none": {"alone": True},
    "none_for_a_suspect": {"alone": True, "suspects": True},
}


class ClaimLostError(Answer):
    """Another worker has claimed it, or it is finished: write nothing, acknowledge, forget."""


class SuspectError(ShortlistError):
    """It may only be claimed to be scored apart: nothing was claimed."""

    def __init__(self, suspect: Suspect) -> None:
        """Keep what is known of it."""
        super().__init__(suspect.application_id)
        self.suspect = suspect


class ClaimRefusedError(ShortlistError):
    """Postgres refuses the claim of this application for its data, tried alone."""


class Hold(Protocol):
    """A claim that this worker holds now."""

    claim: Claim

    async def complete(self, verdict: Verdict) -> None:
        """Write the verdict; `ClaimLostError` when it did not count."""
        ...

    async def ended(self, outcome: str) -> int:
        """Attempts of this application that ended so before this one."""
        ...

    async def others_scored(self) -> bool:
        """Whether another application was scored since the last attempt that errored began."""
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
        raises `SuspectError`, unless ``company`` is for a suspect. `ClaimRefusedError`
        when no attempt of this application can begin.
        """
        ...

    async def postpone(self, application_id: ApplicationId, seconds: float) -> None:
        """Have it put back in the line after a while, without an attempt."""
        ...

    async def fail(self, application_id: ApplicationId, reason: str) -> bool:
        """Write that one whose claim was refused has failed; False: a worker has claimed it."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who claims."""

    worker_id: WorkerId
    pipeline: PipelineName


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

        return await self.on_held_connection(read, COUNTING)

    async def others_scored(self) -> bool:
        """Whether another application was scored since the last attempt that errored began."""
        read = partial(_others_scored, self.claim, self._identity)
        return await self.on_held_connection(read, COUNTING)

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

        if not await self.on_held_connection(write, ENDING):
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
        except Exception as error:  # whatever it is, the lock goes with it
            log.warning("postgres_unavailable", doing="releasing a claim", error=repr(error))
            connection.terminate()
        finally:
            await self._pool.release(connection)

    async def on_held_connection(
        self, operation: Callable[[Connection], Awaitable[T]], step: str
    ) -> T:
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


class ConnectionHolder:
    """Gets claims that live on a connection each (``perJob``)."""

    def __init__(self, pool: ConnectionPool, identity: Identity) -> None:
        """``pool`` has a connection for every application in flight."""
        self.pool = pool
        self.identity = identity
        self.completing = Batcher(self._complete_all, overlap=2, apart=may_be_of_one)

    @asynccontextmanager
    async def hold(
        self, application_id: ApplicationId, on_loss: Callable[[], None], company: Company
    ) -> AsyncIterator[HeldOnConnection | None]:
        """Claim for the length of a block."""

        async def claim() -> tuple[Connection, Claim] | Suspect | None:
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
            return claimed

        with traces.database_span("claim"):
            got = await _unless_refused(persistently(claim, CLAIMING))
        if isinstance(got, Suspect):
            raise SuspectError(got)
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
        await _postpone(self.pool, self.identity, application_id, seconds)

    async def fail(self, application_id: ApplicationId, reason: str) -> bool:
        """Write that one whose claim was refused has failed."""
        return await _fail(self.pool, self.identity, application_id, reason)

    async def _complete_all(self, writes: list[tuple[HeldOnConnection, Verdict]]) -> list[bool]:
        """One transaction, on the connection of the first of them that still has one.

        For those that have lost theirs the fence decides, as it does for all.
        """
        verdicts = [verdict for _, verdict in writes]
        write = partial(_write, self.identity, verdicts)
        for held, _ in writes:
            with suppress(ClaimLostError):
                return await held.on_held_connection(write, COMPLETING)
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

        return await self._holder.on_some_connection(read, COUNTING)

    async def others_scored(self) -> bool:
        """Whether another application was scored since the last attempt that errored began."""
        read = partial(_others_scored, self.claim, self._holder.identity)
        return await self._holder.on_some_connection(read, COUNTING)

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

        if not await self._holder.on_some_connection(write, ENDING):
            raise ClaimLostError


class LeaseHolder:
    """Gets claims that live by the worker's lease, many in one statement (``perWrite``)."""

    def __init__(self, pool: ConnectionPool, identity: Identity, lists: HeldLists) -> None:
        """``pool`` needs one connection at least; two let claiming and completing overlap.

        ``lists`` are sent when the lease is renewed.
        """
        self._pool = pool
        self.identity = identity
        self._lists = lists
        self._claiming = {
            company: Batcher(partial(self._claim_all, company), apart=may_be_of_one)
            for company in get_args(Company)
        }
        self.completing = Batcher(self._complete_all, apart=may_be_of_one)

    @asynccontextmanager
    async def hold(
        self, application_id: ApplicationId, on_loss: Callable[[], None], company: Company
    ) -> AsyncIterator[HeldByLease | None]:
        """Claim for the length of a block."""
        del on_loss  # a lease that ran out is noticed by the fence, when the verdict is written
        with traces.database_span("claim"):
            claim = await _unless_refused(self._claiming[company].submit(application_id))
        if isinstance(claim, Suspect):
            raise SuspectError(claim)
        yield None if claim is None else HeldByLease(self, claim)

    async def postpone(self, application_id: ApplicationId, seconds: float) -> None:
        """Have it put back in the line after a while."""
        await _postpone(self._pool, self.identity, application_id, seconds)

    async def fail(self, application_id: ApplicationId, reason: str) -> bool:
        """Write that one whose claim was refused has failed."""
        return await _fail(self._pool, self.identity, application_id, reason)

    async def on_some_connection(
        self, operation: Callable[[Connection], Awaitable[T]], step: str
    ) -> T:
        """Run it until Postgres does it."""
        return await _on_some_connection(self._pool, operation, step)

    async def _claim_all(
        self, company: Company, ids: list[ApplicationId]
    ) -> list[Claim | Suspect | None]:
        async def claim(connection: Connection) -> list[Claim | Suspect]:
            return await claims.claim_leased(
                connection,
                ids,
                self.identity.worker_id,
                lists=self._lists.made,  # read while all of them are in work
                **_FLAGS[company],
            )

        claimed = {c.application_id: c for c in await self.on_some_connection(claim, CLAIMING)}
        # popped, so that an id that was delivered twice is scored once
        return [claimed.pop(application_id, None) for application_id in ids]

    async def _complete_all(self, verdicts: list[Verdict]) -> list[bool]:
        write = partial(_write, self.identity, verdicts)
        return await self.on_some_connection(write, COMPLETING)


async def _write(identity: Identity, verdicts: list[Verdict], connection: Connection) -> list[bool]:
    """Complete; which of the verdicts counted."""
    counted = await claims.complete(
        connection, verdicts, pipeline=identity.pipeline, worker_id=identity.worker_id
    )
    return [verdict.application_id in counted for verdict in verdicts]


async def _others_scored(claim: Claim, identity: Identity, connection: Connection) -> bool:
    return await claims.others_scored(connection, claim.application_id, identity.pipeline)


async def _on_some_connection(
    pool: ConnectionPool, operation: Callable[[Connection], Awaitable[T]], step: str
) -> T:
    async def run() -> T:
        async with pool.connection() as connection:
            return await operation(connection)

    return await persistently(run, step)


async def _unless_refused(claiming: Awaitable[T]) -> T:
    try:
        return await claiming
    except Exception as error:
        if fault_of(error) is Fault.ITEM:
            raise ClaimRefusedError(f"Postgres refuses the claim: {said(error)}") from error
        raise


async def _postpone(
    pool: ConnectionPool, identity: Identity, application_id: ApplicationId, seconds: float
) -> None:
    async def write(connection: Connection) -> None:
        await claims.postpone(connection, application_id, identity.pipeline, seconds)

    await _on_some_connection(pool, write, "postponing")


async def _fail(
    pool: ConnectionPool, identity: Identity, application_id: ApplicationId, reason: str
) -> bool:
    async def write(connection: Connection) -> bool:
        return await claims.fail(
            connection,
            application_id,
            pipeline=identity.pipeline,
            worker_id=identity.worker_id,
            reason=reason,
        )

    return await _on_some_connection(pool, write, "failing what cannot be claimed")
