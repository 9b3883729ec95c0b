"""Which asks share a transaction, and how one is committed, or tried again.

What waits while the last transaction commits is the next group; no timer. A group is split where
it would lock too many openings, or hold them for too long, and at what is a transaction of its own.
All of a process run one after the other, so the asks on an opening are decided in the order in
which they came.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from shortlist.hiring.transactions import by_hand, group
from shortlist.hiring.transactions.asked import (
    Acknowledging,
    ActingByHand,
    Applying,
    ByHand,
    Undoing,
    Withdrawing,
)
from shortlist.runtime.failpoints import failpoint
from shortlist.storage.deadline_batcher import Asked, DeadlineBatcher
from shortlist.storage.unavailable import DatabaseUnavailableError
from shortlist.telemetry.metrics import HIRING_LOCK_HOLD_SECONDS, HIRING_LOCK_WAIT_SECONDS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from shortlist.domain.hiring.placement import OpeningId
    from shortlist.domain.line.application import NewApplication
    from shortlist.hiring.transactions.asked import Answer, Ask
    from shortlist.hiring.transactions.group import Outcome
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.database import Database

MOST_OPENINGS: Final = 64
"""Locked in one transaction."""

MOST_ACTS: Final = 500
"""In one transaction: with what they lead to, some 100 ms."""

BACKLOG: Final = 5_000
"""Asks that wait for a transaction, at most."""


class OverloadedError(DatabaseUnavailableError):
    """Too many requests wait for a commit. Nothing was done."""


class Commits:
    """Decides asks in groups; one transaction of a process is open at a time."""

    def __init__(
        self,
        database: Database,
        *,
        on_submitted: Callable[[Sequence[NewApplication]], None],
        on_committed: Callable[[Mapping[OpeningId, int]], None],
    ) -> None:
        """Both get what a transaction has committed; they must not block."""
        self._database = database
        self._on_submitted = on_submitted
        self._on_committed = on_committed
        self._groups: DeadlineBatcher[Ask | ByHand, Answer | Exception] = DeadlineBatcher(
            self._run, timeout_seconds=database.timeout_seconds
        )

    def submit(self, ask: Ask | ByHand) -> asyncio.Future[Answer | Exception]:
        """Have an ask decided; the future raises `DatabaseUnavailableError` when that failed."""
        if self._groups.waiting >= BACKLOG:
            raise OverloadedError
        return self._groups.submit(ask, time.monotonic())

    async def finish(self) -> None:
        """Wait until every ask is answered."""
        await self._groups.join()

    async def _run(
        self, asked: list[Asked[Ask | ByHand]], deadline: float
    ) -> list[Answer | Exception]:
        """Decide a group, in as many transactions as it takes.

        What was committed is answered, whatever becomes of the rest.
        """
        answers: dict[int, Answer | Exception] = {}
        for asks in split(one.item for one in asked):
            answers |= await self._decide(dict(enumerate(asks, len(answers))), deadline)
        unavailable = [a for a in answers.values() if isinstance(a, DatabaseUnavailableError)]
        if len(unavailable) == len(answers):
            raise unavailable[0]
        return [answers[place] for place in range(len(asked))]

    async def _decide(
        self, asks: Mapping[int, Ask | ByHand], deadline: float
    ) -> dict[int, Answer | Exception]:
        """Decide asks of one transaction; an error that may be one ask's is found by trying apart.

        What they led to may take several transactions, one after the other.
        """
        answers: dict[int, Answer | Exception] = {}
        try:
            while asks:
                outcome = await self._commit(asks, deadline)
                answers |= outcome.answers
                asks = outcome.left
                deadline = max(deadline, time.monotonic() + self._database.timeout_seconds)
        except DatabaseUnavailableError as error:
            return answers | dict.fromkeys(asks, error)
        except Exception as error:  # each caller gets it, whatever it is
            if len(asks) == 1:
                return answers | dict.fromkeys(asks, error)
            for place, ask in asks.items():
                answers |= await self._decide({place: ask}, deadline)
        return answers

    async def _commit(self, asks: Mapping[int, Ask | ByHand], deadline: float) -> Outcome:
        """Decide asks in one transaction, and commit it.

        When the connection breaks, all is tried again. Whether a commit whose answer did not come
        was done, its events tell; the lock of the opening is waited for first, so that they are
        there by then or never.
        """
        written: Outcome | None = None

        async def attempt(connection: Connection) -> Outcome:
            nonlocal written
            began = time.monotonic()
            transaction = connection.transaction()
            await transaction.start()
            outcome = await _run(connection, asks, written)
            if outcome is written or _only_says_what_would_happen(asks, outcome):
                await transaction.rollback()
                return outcome
            await failpoint("hiring.before_commit")
            written = outcome
            await transaction.commit()
            HIRING_LOCK_WAIT_SECONDS.observe(outcome.locked_at - began)
            HIRING_LOCK_HOLD_SECONDS.observe(time.monotonic() - outcome.locked_at)
            return outcome

        outcome = await self._database.run(attempt, deadline)
        if outcome is written:
            await failpoint("hiring.after_commit")
            self._announce(outcome)
        return outcome

    def _announce(self, outcome: Outcome) -> None:
        if outcome.submitted:
            self._on_submitted(outcome.submitted)
        if outcome.newest:
            self._on_committed({where: e.sequence for where, e in outcome.newest.items()})


async def _run(
    connection: Connection, asks: Mapping[int, Ask | ByHand], earlier: Outcome | None
) -> Outcome:
    first = next(iter(asks.values()))
    if isinstance(first, ActingByHand | Undoing):
        return await by_hand.run(connection, first, earlier)
    plain = {place: ask for place, ask in asks.items() if not isinstance(ask, ByHand)}
    return await group.run(connection, plain, earlier)


def _only_says_what_would_happen(asks: Mapping[int, Ask | ByHand], outcome: Outcome) -> bool:
    """Tell whether it is a dry run; what was overdue before it is settled even so."""
    first = next(iter(asks.values()))
    return isinstance(first, ActingByHand) and first.request.dry_run and not outcome.left


def split(asks: Iterable[Ask | ByHand]) -> Iterator[list[Ask | ByHand]]:
    """Split asks into those that share a transaction, in order."""
    together: list[Ask | ByHand] = []
    touched: set[tuple[type, int]] = set()
    for ask in asks:
        is_alone = not isinstance(ask, Applying | Withdrawing | Acknowledging)
        where = _where(ask)
        is_full = where not in touched and len(touched) == MOST_OPENINGS
        if together and (is_alone or is_full or len(together) == MOST_ACTS):
            yield together
            together, touched = [], set()
        together.append(ask)
        touched.add(where)
        if is_alone:
            yield together
            together, touched = [], set()
    if together:
        yield together


def _where(ask: Ask | ByHand) -> tuple[type, int]:
    """Return what an ask locks: an opening, or that of a placement, which may be any."""
    if isinstance(ask, Withdrawing | Acknowledging):
        return Withdrawing, ask.placement_id
    return Applying, ask.opening_id
