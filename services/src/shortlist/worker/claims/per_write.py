"""Claims that live by the worker's lease (``perWrite``), which `Membership` renews.

Connections are borrowed for milliseconds, and many applications share one statement.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING, TypeVar

from shortlist.domain.line.application import Claim
from shortlist.runtime.batching import Batcher
from shortlist.storage.faults import may_be_of_one
from shortlist.storage.postgres.queries import claims
from shortlist.worker.claims.store import (
    CLAIMING,
    COMPLETING,
    ClaimLostError,
    ClaimOptions,
    ClaimStore,
    HeldClaim,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.domain.line.application import ApplicationId, Verdict
    from shortlist.domain.line.suspicion import Suspect
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.pool import ConnectionPool
    from shortlist.worker.claims.lists import HeldLists
    from shortlist.worker.claims.store import Identity

T = TypeVar("T")


class PerWriteClaim(HeldClaim):
    """Holds one claim of a worker whose lease `Membership` renews."""

    def __init__(self, store: PerWriteClaimStore, claim: Claim) -> None:
        """``store`` writes for all claims of this worker."""
        super().__init__(claim, store.identity)
        self._store = store

    async def complete(self, verdict: Verdict) -> None:
        """Write together with whatever else is ready now."""
        if not await self._store.completing.submit(verdict):
            raise ClaimLostError

    async def run(self, operation: Callable[[Connection], Awaitable[T]], step: str) -> T:
        """Run it until Postgres does it, on any connection; the fence decides what counts."""
        return await self._store.run_on_any_connection(operation, step)


class PerWriteClaimStore(ClaimStore):
    """Gets claims, many in one statement."""

    def __init__(self, pool: ConnectionPool, identity: Identity, lists: HeldLists) -> None:
        """``pool`` needs one connection at least; two let claiming and completing overlap.

        ``lists`` are sent when the lease is renewed.
        """
        super().__init__(pool, identity)
        self._lists = lists
        self._claiming = {
            options: Batcher(partial(self._claim_all, options), apart=may_be_of_one)
            for options in (ClaimOptions(*flags) for flags in product((False, True), repeat=2))
        }
        self.completing = Batcher(self._complete_all, apart=may_be_of_one)

    async def _claim(
        self, application_id: ApplicationId, on_loss: Callable[[], None], options: ClaimOptions
    ) -> PerWriteClaim | Suspect | None:
        del on_loss  # a lease that ran out is noticed by the fence, when the verdict is written
        claimed = await self._claiming[options].submit(application_id)
        return PerWriteClaim(self, claimed) if isinstance(claimed, Claim) else claimed

    async def _claim_all(
        self, options: ClaimOptions, ids: list[ApplicationId]
    ) -> list[Claim | Suspect | None]:
        async def claim(connection: Connection) -> list[Claim | Suspect]:
            return await claims.claim_leased(
                connection,
                ids,
                self.identity.worker_id,
                alone=options.alone,
                suspects=options.suspects,
                lists=self._lists.made,  # read while all of them are in work
            )

        claimed = {
            one.application_id: one for one in await self.run_on_any_connection(claim, CLAIMING)
        }
        # popped, so that an id that was delivered twice is scored once
        return [claimed.pop(application_id, None) for application_id in ids]

    async def _complete_all(self, verdicts: list[Verdict]) -> list[bool]:
        return await self.run_on_any_connection(partial(self._write, verdicts), COMPLETING)
