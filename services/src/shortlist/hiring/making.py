"""Makes openings and applicants, and erases these: acts that no opening's lock decides on."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, TypeVar

from shortlist.domain.hiring.acts import open_opening
from shortlist.domain.hiring.audit import start_of_chain
from shortlist.domain.hiring.draft import Opening
from shortlist.domain.hiring.opening import InvalidRulesError, check_rules, in_milliseconds
from shortlist.domain.hiring.placement import ApplicantId
from shortlist.domain.hiring.settling import next_due
from shortlist.hiring import erasure
from shortlist.hiring.errors import (
    ConflictError,
    HiringError,
    InvalidError,
    KeyReusedError,
    NotFoundError,
)
from shortlist.hiring.transactions import answering
from shortlist.hiring.transactions.committing import commit
from shortlist.hiring.transactions.idempotency import key_of
from shortlist.hiring.views import Applicant, Job
from shortlist.storage.postgres.queries.hiring import answers, applicants, opening_events, openings
from shortlist.storage.postgres.queries.hiring.opening_events import EventRow
from shortlist.storage.postgres.queries.hiring.openings import Texts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from shortlist.domain.hiring.placement import OpeningId
    from shortlist.hiring.by import By
    from shortlist.hiring.requests import NewOpening
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.database import Database
    from shortlist.storage.postgres.queries.hiring.applicants import ApplicantRow, Person

T = TypeVar("T")

_EVER = dt.datetime.min.replace(tzinfo=dt.UTC)


class Maker:
    """Makes what `Acts` are about. Each call is a transaction, and may be tried again."""

    def __init__(
        self, database: Database, on_committed: Callable[[Mapping[OpeningId, int]], None]
    ) -> None:
        """``on_committed``: as `Acts` has it."""
        self._database = database
        self._on_committed = on_committed

    async def open(self, new: NewOpening, by: By) -> Job:
        """Open an opening; its id is taken first, by which a try that is repeated finds it."""
        rules = in_milliseconds(new.rules)
        try:
            check_rules(rules)
        except InvalidRulesError as error:
            raise InvalidError(error.problems) from error
        texts = Texts(new.title, new.description, new.pipeline, new.verify_email)
        due_at = next_due(Opening(rules), _EVER)
        deadline = self._deadline()
        opening_id = await self._database.run(openings.new_id, deadline)

        async def work(connection: Connection) -> Job:
            given = await _given(connection, by)
            if given is not None:
                return Job.model_validate_json(given)
            row = await openings.insert(connection, opening_id, texts, rules, due_at)
            if row is None:
                row = (await openings.lock(connection, [opening_id]))[opening_id]
            else:
                first = open_opening(opening_id, rules, actor=by.actor, clock=row.created_at)
                await opening_events.append(connection, [EventRow(first, None, None)])
            job = answering.job(row, start_of_chain(opening_id))
            await _keep(connection, by, job.model_dump_json(by_alias=True))
            return job

        job = await self._do(work, deadline)
        if job.id == opening_id:
            self._on_committed({opening_id: 1})
        return job

    async def register(self, person: Person, by: By) -> Applicant:
        """Register an applicant. What is kept of the call is their id, not who they are."""
        deadline = self._deadline()
        applicant_id = await self._database.run(applicants.new_id, deadline)

        async def work(connection: Connection) -> Applicant:
            given = await _given(connection, by)
            if given is not None:
                return await _registered(connection, given)
            row = await applicants.insert(connection, applicant_id, person)
            if row is None:
                raise ConflictError("CONFLICT", "This address is registered already.")
            await _keep(connection, by, str(row.id))
            return _applicant(row)

        return await self._do(work, deadline)

    async def erase(self, applicant_id: ApplicantId, by: By) -> None:
        """Erase an applicant; a key with which it was done before does nothing."""

        async def work(connection: Connection) -> Mapping[OpeningId, int]:
            if await _given(connection, by) is not None:
                return {}
            newest = await erasure.withdraw_and_erase(connection, applicant_id, by.actor)
            if newest is None:
                raise NotFoundError("applicant")
            await _keep(connection, by, "erased")
            return newest

        deadline = self._deadline()
        while True:
            try:
                newest = await self._do(work, deadline)
            except erasure.AppliedMeanwhileError:
                continue  # in an opening that was not locked: the next try locks it too
            self._on_committed(newest)
            return

    def _deadline(self) -> float:
        return time.monotonic() + self._database.timeout_seconds

    async def _do(self, work: Callable[[Connection], Awaitable[T]], deadline: float) -> T:
        """Do work in a transaction; a refusal rolls it back, and is no connection's trouble."""

        async def attempt(connection: Connection) -> T | HiringError:
            transaction = connection.transaction()
            await transaction.start()
            try:
                result = await work(connection)
            except HiringError as refusal:
                await transaction.rollback()
                return refusal
            await commit(transaction)
            return result

        result = await self._database.run(attempt, deadline)
        if isinstance(result, HiringError):
            raise result
        return result


async def _given(connection: Connection, by: By) -> str | None:
    """Take a call's idempotency key; return what it was answered if it was used before."""
    if by.once is None:
        return None
    key = key_of(by.once)
    given = (await answers.take(connection, {key: by.once.body_hash})).get(key)
    if given is None:
        return None
    if given.body_hash != by.once.body_hash:
        raise KeyReusedError
    return given.answer


async def _keep(connection: Connection, by: By, answer: str) -> None:
    if by.once is not None:
        await answers.keep(connection, {key_of(by.once): answer})


async def _registered(connection: Connection, given: str) -> Applicant:
    row = await applicants.present(connection, ApplicantId(int(given)))
    if row is None:
        raise NotFoundError("applicant")
    return _applicant(row)


def _applicant(row: ApplicantRow) -> Applicant:
    return Applicant(id=row.id, name=row.name, email=row.email, created_at=row.created_at)
