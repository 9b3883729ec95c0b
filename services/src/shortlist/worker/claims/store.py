"""A claim that a worker holds, and the store that it gets claims from: the same in both modes.

Each statement is tried until Postgres does it (`persistently`). The modes differ in the connection
that a statement runs on: the one that the claim lives on, or any.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from shortlist.domain.errors import ShortlistError
from shortlist.domain.line.suspicion import Suspect
from shortlist.storage.faults import Fault, OutcomeError, describe, fault_of
from shortlist.storage.postgres.queries import claims
from shortlist.storage.trouble import persistently
from shortlist.telemetry import traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from shortlist.domain.line.application import (
        ApplicationId,
        Claim,
        PipelineName,
        Verdict,
        WorkerId,
    )
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.pool import ConnectionPool

T = TypeVar("T")

CLAIMING, RECLAIMING = "claiming", "taking a claim again"
COMPLETING, ENDING, COUNTING = "completing", "ending an attempt", "counting errors"
WRITING_STEPS = frozenset({CLAIMING, RECLAIMING, COMPLETING, ENDING, COUNTING})
"""Without these a worker is of no use: it is not ready while one of them fails."""


class ClaimLostError(OutcomeError):
    """Another worker has claimed it, or it is finished: write nothing, acknowledge, forget."""


class SuspectError(ShortlistError):
    """It may only be claimed to be scored apart: nothing was claimed."""

    def __init__(self, suspect: Suspect) -> None:
        """Keep what is known of it."""
        super().__init__(suspect.application_id)
        self.suspect = suspect


class ClaimRefusedError(ShortlistError):
    """Postgres refuses the claim of this application for its data, tried alone."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The worker that claims."""

    worker_id: WorkerId
    pipeline: PipelineName


class ClaimOptions(NamedTuple):
    """How a worker will score what it claims."""

    alone: bool
    """It holds no other claim meanwhile: it scores one at a time, or has let all others end."""
    suspects: bool = False
    """In a process of its own: suspects may be claimed, too."""


class HeldClaim(ABC):
    """A claim that this worker holds now."""

    def __init__(self, claim: Claim, identity: Identity) -> None:
        """``claim`` is the latest of its application, as far as this worker knows."""
        self.claim = claim
        self._identity = identity

    @abstractmethod
    async def complete(self, verdict: Verdict) -> None:
        """Write the verdict; `ClaimLostError` when it did not count."""

    @abstractmethod
    async def run(self, operation: Callable[[Connection], Awaitable[T]], step: str) -> T:
        """Run a statement until Postgres does it; `ClaimLostError` when the claim is lost."""

    async def release(self) -> None:
        """Let go of what the claim lives on; its attempt has ended, or its verdict is committed."""
        return

    async def attempts_ended(self, outcome: str) -> int:
        """Count the attempts of this application that ended so before this one."""
        return await self.run(
            lambda connection: claims.ended(connection, self.claim.application_id, outcome),
            COUNTING,
        )

    async def others_scored(self) -> bool:
        """Ask whether another application was scored since the last attempt that errored began."""
        return await self.run(
            lambda connection: claims.others_scored(
                connection, self.claim.application_id, self._identity.pipeline
            ),
            COUNTING,
        )

    async def end(self, outcome: str, detail: str, retry_seconds: float | None) -> None:
        """End the attempt without a verdict, to be tried again after a while (None: at once).

        Raises `ClaimLostError` when it is not the latest any more.
        """
        ended = await self.run(
            lambda connection: claims.end_attempt(
                connection,
                self.claim,
                self._identity.pipeline,
                self._identity.worker_id,
                outcome=outcome,
                detail=detail,
                retry_seconds=retry_seconds,
            ),
            ENDING,
        )
        if not ended:
            raise ClaimLostError


class ClaimStore(ABC):
    """Gets claims for one worker, in one of the two modes."""

    def __init__(self, pool: ConnectionPool, identity: Identity) -> None:
        """``pool``: the connections that this worker may use for claims."""
        self.pool = pool
        self.identity = identity

    @asynccontextmanager
    async def claim(
        self, application_id: ApplicationId, on_loss: Callable[[], None], options: ClaimOptions
    ) -> AsyncIterator[HeldClaim | None]:
        """Hold a claim for the length of a block; the block gets None when there is none to get.

        ``on_loss`` is called when the claim is lost while it is held: stop scoring. A suspect
        raises `SuspectError`, unless ``options`` allow for suspects. `ClaimRefusedError` when no
        attempt of this application can begin.
        """
        with traces.database_span("claim"):
            held = await self._claim_or_refuse(application_id, on_loss, options)
        if isinstance(held, Suspect):
            raise SuspectError(held)
        if held is None:
            yield None
            return
        try:
            yield held
        finally:
            await held.release()

    async def postpone(self, application_id: ApplicationId, seconds: float) -> None:
        """Have an application put back in the line after a while, without an attempt."""
        await self.run_on_any_connection(
            lambda connection: claims.postpone(
                connection, application_id, self.identity.pipeline, seconds
            ),
            "postponing",
        )

    async def fail(self, application_id: ApplicationId, reason: str) -> bool:
        """Write that one whose claim was refused has failed; False: a worker has claimed it."""
        return await self.run_on_any_connection(
            lambda connection: claims.fail(
                connection,
                application_id,
                pipeline=self.identity.pipeline,
                worker_id=self.identity.worker_id,
                reason=reason,
            ),
            "failing what cannot be claimed",
        )

    async def run_on_any_connection(
        self, operation: Callable[[Connection], Awaitable[T]], step: str
    ) -> T:
        """Run a statement on a connection of the pool until Postgres does it."""

        async def run() -> T:
            async with self.pool.connection() as connection:
                return await operation(connection)

        return await persistently(run, step)

    @abstractmethod
    async def _claim(
        self, application_id: ApplicationId, on_loss: Callable[[], None], options: ClaimOptions
    ) -> HeldClaim | Suspect | None:
        """Claim; returns a suspect that ``options`` do not allow for, None without a claim."""

    async def _claim_or_refuse(
        self, application_id: ApplicationId, on_loss: Callable[[], None], options: ClaimOptions
    ) -> HeldClaim | Suspect | None:
        try:
            return await self._claim(application_id, on_loss, options)
        except Exception as error:
            if fault_of(error) is Fault.ITEM:
                raise ClaimRefusedError(f"Postgres refuses the claim: {describe(error)}") from error
            raise

    async def _write(self, verdicts: list[Verdict], connection: Connection) -> list[bool]:
        """Write verdicts in one transaction; which of them counted."""
        counted = await claims.complete(
            connection, verdicts, pipeline=self.identity.pipeline, worker_id=self.identity.worker_id
        )
        return [verdict.application_id in counted for verdict in verdicts]
