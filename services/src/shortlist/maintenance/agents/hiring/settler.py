"""Settles openings in the leader's transactions: many at once, and none of them for long.

An opening that another transaction has locked is left to it: each act settles what is overdue
before anything else. An opening that cannot be settled, because of what stands in it or of a bug,
is said and left for a while; the others do not wait for it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from shortlist.domain.hiring.draft import BATCH
from shortlist.runtime.failpoints import failpoint
from shortlist.storage.faults import Fault, fault_of
from shortlist.storage.postgres.queries.hiring.leader import deadlines
from shortlist.storage.postgres.queries.leases import NotLeadingError
from shortlist.storage.trouble import Trouble
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from shortlist.domain.hiring.placement import OpeningId
    from shortlist.hiring.settlement import Settled
    from shortlist.maintenance.agents.hiring.announcer import Announcer
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.postgres import Connection

MOST_OPENINGS = 64
"""That are locked at once."""

LOCKED_SECONDS = 0.05
"""Until the next try at an opening that another transaction had locked."""

_LOCK_TIMEOUT_SECONDS = 0.25
_MOST_TIMEOUTS = 2
"""In a round: the others wait no longer than that for openings whose locks are kept."""

_MOST_ROUNDS = 50
"""In a turn; then the leader looks again from the beginning."""

_LONGEST_REST_SECONDS = 60.0

log = structlog.get_logger(__name__)


class Due(Protocol):
    """Something due in an opening."""

    @property
    def opening_id(self) -> OpeningId:
        """Whose it is."""

    @property
    def items(self) -> int:
        """How much it is."""

    @property
    def late_seconds(self) -> float:
        """For how long it has been due, when it was found."""


class Find(Protocol):
    """Finds what is due."""

    async def __call__(self, connection: Connection, excluded: set[OpeningId], /) -> Sequence[Due]:
        """Return it, without that of the ``excluded``."""


class Settle(Protocol):
    """Settles openings that are locked, in a transaction of the leader's."""

    async def __call__(self, connection: Connection, openings: Sequence[OpeningId], /) -> Settled:
        """Return what is left, and to which openings events were appended."""


@dataclass
class _Rest:
    """An opening that could not be settled, and is left until a time (monotonic)."""

    trouble: Trouble
    seconds: float = 0.5
    until: float = 0.0


@dataclass
class _Round:
    """What is not settled of what was found."""

    locked: list[Due] = field(default_factory=list)
    again: set[OpeningId] = field(default_factory=set)


class Settler:
    """Settles what is due, as one agent finds it."""

    def __init__(
        self,
        desk: LeaderContext,
        announcer: Announcer,
        settle: Settle,
        *,
        agent: str,
        waits: bool,
    ) -> None:
        """Take what settles, and a name for metrics.

        ``waits``: also for openings that other transactions have locked, which do not do this
        work themselves.
        """
        self._desk = desk
        self._announcer = announcer
        self._settle = settle
        self._waits = waits
        self._overdue = metrics.HIRING_OVERDUE_SECONDS.labels(agent)
        self._lateness = metrics.HIRING_LATENESS_SECONDS.labels(agent)
        self._finished_at = time.monotonic()
        metrics.HIRING_CYCLE_AGE_SECONDS.labels(agent).set_function(
            lambda: time.monotonic() - self._finished_at
        )
        self._resting: dict[OpeningId, _Rest] = {}

    async def turn(self, find: Find) -> float | None:
        """Settle all that is due; how many seconds to sleep, None when nothing is left.

        ``find`` leaves out those openings that it is given.
        """
        pause = await self._settle_found(find)
        self._finished_at = time.monotonic()
        return pause

    async def _settle_found(self, find: Find) -> float | None:
        left = self._resting_now()
        pause: float | None = min((r.seconds for r in self._resting.values()), default=None)
        for _ in range(_MOST_ROUNDS):
            async with self._desk.connection() as connection:
                found, found_at = await find(connection, left), time.monotonic()
            self._overdue.set(max((due.late_seconds for due in found), default=0.0))
            if not found:
                return pause
            done = await self._settle_all(found, found_at)
            left |= done.again | {due.opening_id for due in done.locked} | self._resting_now()
            if done.again:
                pause = 0.0
            elif done.locked:
                pause = min(LOCKED_SECONDS, LOCKED_SECONDS if pause is None else pause)
        return 0.0

    def _resting_now(self) -> set[OpeningId]:
        now = time.monotonic()
        return {opening for opening, rest in self._resting.items() if rest.until > now}

    async def _settle_all(self, found: Sequence[Due], found_at: float) -> _Round:
        done, timeouts = _Round(), 0
        for group in groups(found):
            await self._settle_group(group, found_at, done)
        if self._waits:
            locked, done.locked = done.locked, []
            for due in locked:
                if timeouts == _MOST_TIMEOUTS:
                    done.locked.append(due)
                elif not await self._settle_waiting(due, found_at, done):
                    done.locked.append(due)
                    timeouts += 1
        return done

    async def _settle_group(self, group: Sequence[Due], found_at: float, done: _Round) -> None:
        """Settle those that are free; each alone when one of them cannot be settled."""
        try:
            free = await self._transact(group, found_at, done)
        except NotLeadingError:
            raise
        except Exception as error:
            if fault_of(error) not in {Fault.ITEM, Fault.BUG}:
                raise
            if len(group) == 1:
                self._leave(group[0].opening_id, error)
                return
            for due in group:
                await self._settle_group([due], found_at, done)
        else:
            done.locked += [due for due in group if due.opening_id not in free]

    async def _settle_waiting(self, due: Due, found_at: float, done: _Round) -> bool:
        """Settle an opening once its lock is free; False when that takes too long."""
        try:
            await self._transact([due], found_at, done, waits=True)
        except NotLeadingError:
            raise
        except Exception as error:
            if deadlines.is_locked(error):
                return False
            if fault_of(error) not in {Fault.ITEM, Fault.BUG}:
                raise
            self._leave(due.opening_id, error)
        return True

    async def _transact(
        self, group: Sequence[Due], found_at: float, done: _Round, *, waits: bool = False
    ) -> set[OpeningId]:
        """Lock, settle and commit; return which were free."""
        self._desk.goes_on()
        ids = sorted(due.opening_id for due in group)
        async with self._desk.writing() as connection:
            asked = time.monotonic()
            if waits:
                free = await deadlines.lock_in_time(connection, ids[0], _LOCK_TIMEOUT_SECONDS)
            else:
                free = await deadlines.lock_free(connection, ids)
            locked = time.monotonic()
            if not free:
                return set()
            settled = await self._settle(connection, free)
        await failpoint("hiring.after_commit")
        committed = time.monotonic()
        metrics.HIRING_LOCK_WAIT_SECONDS.observe(locked - asked)
        metrics.HIRING_LOCK_HOLD_SECONDS.observe(committed - locked)
        self._announcer.tell(settled.sequences)
        done.again |= settled.again
        for due in group:
            if due.opening_id in free:
                self._lateness.observe(due.late_seconds + committed - found_at)
                self._recovered(due.opening_id)
        return set(free)

    def _leave(self, opening: OpeningId, error: Exception) -> None:
        """Say what is wrong with an opening, and leave it for longer each time."""
        rest = self._resting.setdefault(opening, _Rest(Trouble("settling an opening", "postgres")))
        rest.trouble.met(error)
        rest.seconds = min(_LONGEST_REST_SECONDS, 2 * rest.seconds)
        rest.until = time.monotonic() + rest.seconds
        log.error("opening_not_settled", opening=opening, again_in_seconds=rest.seconds)

    def _recovered(self, opening: OpeningId) -> None:
        if rest := self._resting.pop(opening, None):
            rest.trouble.over()


def groups(found: Iterable[Due]) -> Iterator[list[Due]]:
    """Slices of at most `MOST_OPENINGS`, and of `BATCH` items unless one opening has more."""
    group: list[Due] = []
    items = 0
    for due in found:
        if group and (len(group) == MOST_OPENINGS or items + due.items > BATCH):
            yield group
            group, items = [], 0
        group.append(due)
        items += due.items
    if group:
        yield group
