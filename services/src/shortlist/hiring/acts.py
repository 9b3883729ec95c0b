"""What applicants and companies do: each act once, for ingest, dashboard and tests.

An act is decided under the lock of its opening and is durable when it is answered. Those that wait
at the same time share a transaction (`transactions`). A refusal is a `HiringError`: nothing of the
act has happened. `DatabaseUnavailableError` says that nothing was changed, unless Postgres fell
silent during the commit: no server can tell the client which; an idempotency key makes it safe to
try again even so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from shortlist.domain.email_addresses import email_key
from shortlist.hiring.errors import HiringError, NotFoundError
from shortlist.hiring.making import Maker
from shortlist.hiring.requests import ActionRequest, NewOpening
from shortlist.hiring.transactions.asked import (
    Acknowledging,
    ActingByHand,
    Applying,
    Changing,
    ChangingState,
    Undoing,
    Withdrawing,
)
from shortlist.hiring.transactions.commits import Commits
from shortlist.runtime.batching import contained
from shortlist.storage.postgres.queries.hiring import company_actions
from shortlist.storage.postgres.queries.hiring.applicants import Person

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shortlist.domain.hiring.placement import ApplicantId, OpeningId, PlacementId
    from shortlist.domain.line.application import NewApplication
    from shortlist.hiring.by import By
    from shortlist.hiring.transactions.asked import Ask, ByHand, StateChange
    from shortlist.hiring.views import ActionResult, Applicant, Job, Result
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.database import Database
    from shortlist.storage.postgres.queries.hiring.company_actions import ActionRow

__all__ = ["ActionRequest", "Acts", "NewOpening"]


class Acts:
    """Does the acts of one process, one transaction at a time."""

    def __init__(
        self,
        database: Database,
        *,
        on_submitted: Callable[[Sequence[NewApplication]], None],
        on_committed: Callable[[Mapping[OpeningId, int]], None],
    ) -> None:
        """Do nothing yet.

        Args:
            database: with the settings `transactions.SESSION`.
            on_submitted: gets the payloads that a transaction submitted for scoring.
            on_committed: gets the newest sequence of each opening that a transaction changed.
                Both are called after the commit, and must not block.
        """
        self._database = database
        told = contained(on_committed)
        self._commits = Commits(database, on_submitted=contained(on_submitted), on_committed=told)
        self._maker = Maker(database, told)

    async def open(self, new: NewOpening, by: By) -> Job:
        """Open an opening; raises `InvalidError` for rules that cannot be."""
        return await self._maker.open(new, by)

    async def register(self, name: str, email: str, by: By) -> Applicant:
        """Register an applicant; raises `ConflictError` when the address is taken."""
        return await self._maker.register(Person(name, email, email_key(email)), by)

    async def change(
        self, opening_id: OpeningId, changes: Mapping[str, Any], by: By, version: int | None = None
    ) -> Job:
        """Change fields of an opening.

        A capacity that is raised promotes at once, in as many transactions as it takes: each fills
        what it frees.

        Args:
            opening_id: whose fields.
            changes: by the names of `NewOpening`'s fields and of its rules'.
            by: who changes them.
            version: which one the company saw; None: any.

        Raises:
            InvalidError: the opening cannot have these rules.
            ConflictError: it has another version, or has ended.
        """
        return cast("Job", await self._ask(Changing(by, opening_id, changes, version)))

    async def change_state(
        self, opening_id: OpeningId, change: StateChange, by: By, reason: str | None = None
    ) -> Job:
        """Close, reopen or end an opening; raises `ConflictError` when it has ended."""
        return cast("Job", await self._ask(ChangingState(by, opening_id, change, reason)))

    async def apply(
        self,
        applicant_id: ApplicantId,
        opening_id: OpeningId,
        by: By,
        scoring: NewApplication | None = None,
    ) -> Result:
        """Have an applicant apply; with ``scoring`` the payload is submitted in the same commit.

        Raises:
            NotFoundError: the applicant is not there, or the opening.
            ConflictError: they have applied already, or the opening takes no applications.
        """
        return cast("Result", await self._ask(Applying(by, opening_id, applicant_id, scoring)))

    async def apply_publicly(
        self,
        name: str,
        email: str,
        opening_id: OpeningId,
        by: By,
        scoring: NewApplication | None = None,
    ) -> Result:
        """Have a person apply, who is found by their address or made; as `apply` otherwise.

        Who is found keeps the name they have. Who is refused is not made.
        """
        person = Person(name, email, email_key(email))
        return cast("Result", await self._ask(Applying(by, opening_id, person, scoring)))

    async def withdraw(self, placement_id: PlacementId, by: By) -> Result:
        """End a placement; raises `ConflictError` when it has ended."""
        return cast("Result", await self._ask(Withdrawing(by, placement_id)))

    async def acknowledge(self, placement_id: PlacementId, by: By) -> Result:
        """Take the place that was offered.

        Raises:
            ConflictError: there is no offer.
            GoneError: the deadline has passed; then the decay has happened.
        """
        return cast("Result", await self._ask(Acknowledging(by, placement_id)))

    async def act(self, opening_id: OpeningId, request: ActionRequest, by: By) -> ActionResult:
        """Do what a company does by hand, in one transaction."""
        return cast("ActionResult", await self._ask(ActingByHand(by, opening_id, request)))

    async def undo(self, action_id: int, by: By) -> ActionResult:
        """Take a company's act back; raises `GoneError` after 15 minutes."""

        async def read(connection: Connection) -> ActionRow | None:
            return await company_actions.of_id(connection, action_id)

        action = await self._database.read(read)
        if action is None:
            raise NotFoundError("action")
        return cast("ActionResult", await self._ask(Undoing(by, action)))

    async def erase(self, applicant_id: ApplicantId, by: By) -> None:
        """Withdraw all that an applicant has, and remove what is known of them.

        Raises `NotFoundError` when there is no such applicant.
        """
        await self._maker.erase(applicant_id, by)

    async def finish(self) -> None:
        """Wait until every act that was asked for is answered."""
        await self._commits.finish()

    async def _ask(self, ask: Ask | ByHand) -> object:
        answer = await self._commits.decide(ask)
        if isinstance(answer, HiringError):
            raise answer
        return answer
