"""Which asks share a transaction, and how one is committed, or tried again.

What waits while the last transaction commits is the next group; no timer. A group is split where
it would lock too many openings, or hold them for too long, and at what is a transaction of its own.
Those of a lane run one after the other.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final, TypeAlias

from shortlist.hiring.errors import HiringError
from shortlist.hiring.transactions import by_hand, group
from shortlist.hiring.transactions.asked import (
    Acknowledging,
    ActingByHand,
    Applying,
    ByHand,
    Withdrawing,
)
from shortlist.hiring.transactions.committing import commit
from shortlist.runtime.failpoints import failpoint
from shortlist.storage.deadline_batcher import Asked, DeadlineBatcher
from shortlist.storage.unavailable import DatabaseUnavailableError
from shortlist.telemetry.metrics import HIRING_LOCK_HOLD_SECONDS, HIRING_LOCK_WAIT_SECONDS

if TYPE_CHECKING:
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

MOST_PAYLOAD_CHARACTERS: Final = 4 << 20
"""Submitted for scoring in one transaction: they are copied twice on their way to Postgres."""

BACKLOG: Final = 5_000
"""Asks that wait for a transaction, at most."""


class Held:
    """Another transaction holds the opening just now: it is to be waited for, in its own lane."""


_Told: TypeAlias = "Answer | Held | Exception"


class OverloadedError(DatabaseUnavailableError):
    """Too many requests wait for a commit. Nothing was done."""


class Commits:
    """Decides asks in groups, in two lanes of one transaction each.

    The first takes what is free. What another transaction holds just now waits for it in the
    second: so an opening that is held for long stops none but those who ask for it, and others
    that are held.
    """

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
        self._free = self._lane(waits=False)
        self._held = self._lane(waits=True)
        self._asked = 0
        self._all_answered = asyncio.Event()
        self._all_answered.set()

    def _lane(self, *, waits: bool) -> DeadlineBatcher[Ask | ByHand, _Told]:
        run = partial(self._run, waits=waits)
        return DeadlineBatcher(run, timeout_seconds=self._database.timeout_seconds)

    async def decide(self, ask: Ask | ByHand) -> Answer:
        """Have an ask decided, and return its answer, which may be a refusal.

        Raises `DatabaseUnavailableError` when that failed.
        """
        if self._asked >= BACKLOG:
            raise OverloadedError
        since = time.monotonic()
        self._asked += 1
        self._all_answered.clear()
        try:
            told = await self._free.submit(ask, since)
            if isinstance(told, Held):
                told = await self._held.submit(ask, since)
        finally:
            self._asked -= 1
            if not self._asked:
                self._all_answered.set()
        assert not isinstance(told, Held), "a lane that waits has the lock"
        if isinstance(told, Exception) and not isinstance(told, HiringError):
            raise told
        return told

    async def finish(self) -> None:
        """Wait until every ask is answered, and decided even if no caller waits any more."""
        await self._all_answered.wait()
        await self._free.join()
        await self._held.join()

    async def _run(
        self, asked: list[Asked[Ask | ByHand]], deadline: float, *, waits: bool
    ) -> list[_Told]:
        """Decide a group, in as many transactions as it takes.

        What was committed is answered, whatever becomes of the rest.
        """
        answers: dict[int, _Told] = {}
        places = count()
        for asks in split(one.item for one in asked):
            by_place = {next(places): ask for ask in asks}
            answers |= await self._decide(by_place, deadline, waits=waits)
        unavailable = [a for a in answers.values() if isinstance(a, DatabaseUnavailableError)]
        if len(unavailable) == len(answers):
            raise unavailable[0]
        return [answers[place] for place in range(len(asked))]

    async def _decide(
        self, asks: Mapping[int, Ask | ByHand], deadline: float, *, waits: bool
    ) -> dict[int, _Told]:
        """Decide asks of one transaction; an error that may be one ask's is found by trying apart.

        What they led to may take several transactions, one after the other.
        """
        answers: dict[int, _Told] = {}
        try:
            while asks:
                outcome = await self._commit(asks, deadline, waits=waits)
                answers |= outcome.answers | dict.fromkeys(outcome.held, Held())
                asks, waits = outcome.left, True  # what was begun is ended
                deadline = max(deadline, time.monotonic() + self._database.timeout_seconds)
        except DatabaseUnavailableError as error:
            return answers | dict.fromkeys(asks, error)
        except Exception as error:  # each caller gets it, whatever it is
            if len(asks) == 1:
                return answers | dict.fromkeys(asks, error)
            for place, ask in asks.items():
                answers |= await self._decide({place: ask}, deadline, waits=waits)
        return answers

    async def _commit(
        self, asks: Mapping[int, Ask | ByHand], deadline: float, *, waits: bool
    ) -> Outcome:
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
            tries_again = written is not None
            outcome = await _run(connection, asks, written, waits=waits or tries_again)
            if outcome is written or _only_says_what_would_happen(asks, outcome):
                await transaction.rollback()
                return outcome
            await failpoint("hiring.before_commit")
            written = outcome
            await commit(transaction)
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
    connection: Connection,
    asks: Mapping[int, Ask | ByHand],
    earlier: Outcome | None,
    *,
    waits: bool,
) -> Outcome:
    by_company = {place: ask for place, ask in asks.items() if isinstance(ask, ByHand)}
    if by_company:  # it is alone: see `split`
        return await by_hand.run(connection, by_company, earlier, waits=waits)
    plain = {place: ask for place, ask in asks.items() if not isinstance(ask, ByHand)}
    return await group.run(connection, plain, earlier, waits=waits)


def _only_says_what_would_happen(asks: Mapping[int, Ask | ByHand], outcome: Outcome) -> bool:
    """Tell whether it is a dry run; what was overdue before it is settled even so."""
    first = next(iter(asks.values()))
    return isinstance(first, ActingByHand) and first.request.dry_run and not outcome.left


def split(asks: Iterable[Ask | ByHand]) -> Iterator[list[Ask | ByHand]]:
    """Split asks into those that share a transaction, in order."""
    group = _Together()
    for ask in asks:
        is_alone = not isinstance(ask, Applying | Withdrawing | Acknowledging)
        if group.asks and (is_alone or not group.has_room_for(ask)):
            yield group.asks
            group = _Together()
        group.add(ask)
        if is_alone:
            yield group.asks
            group = _Together()
    if group.asks:
        yield group.asks


class _Together:
    """Asks that share a transaction."""

    def __init__(self) -> None:
        self.asks: list[Ask | ByHand] = []
        self._touched: set[tuple[type, int]] = set()
        self._characters = 0

    def has_room_for(self, ask: Ask | ByHand) -> bool:
        """Tell whether an ask keeps the transaction within its bounds."""
        is_another = _where(ask) not in self._touched
        return (
            len(self.asks) < MOST_ACTS
            and (not is_another or len(self._touched) < MOST_OPENINGS)
            and self._characters + _characters(ask) <= MOST_PAYLOAD_CHARACTERS
        )

    def add(self, ask: Ask | ByHand) -> None:
        """Have it share the transaction."""
        self.asks.append(ask)
        self._touched.add(_where(ask))
        self._characters += _characters(ask)


def _characters(ask: Ask | ByHand) -> int:
    return len(ask.scoring.payload) if isinstance(ask, Applying) and ask.scoring else 0


def _where(ask: Ask | ByHand) -> tuple[type, int]:
    """Return what an ask locks: an opening, or that of a placement, which may be any."""
    if isinstance(ask, Withdrawing | Acknowledging):
        return Withdrawing, ask.placement_id
    return Applying, ask.opening_id
