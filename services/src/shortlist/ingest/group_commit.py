"""Group commit: what waits while the last commit runs is the next one. No timer.

A commit is one statement for all of a group. Two overlap, each on its own connection, so that
one's round trip hides the other's encoding. A client is answered after the commit that holds
its application, or with 503 within the time-out; then the publisher gets the group.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from shortlist.http.errors import invalid, unavailable
from shortlist.runtime.batching import contained
from shortlist.runtime.failpoints import failpoint
from shortlist.storage.deadline_batcher import Asked, DeadlineBatcher
from shortlist.storage.faults import Fault, fault_of
from shortlist.storage.outcome import outcome_of
from shortlist.storage.postgres import ServerClock
from shortlist.storage.postgres.queries import applications
from shortlist.storage.postgres.queries.applications import Accepted, AcceptOutcome
from shortlist.storage.unavailable import DatabaseUnavailableError
from shortlist.telemetry.metrics import ACCEPT_SECONDS, ACCEPTED, GROUP_SIZE, REFUSED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from shortlist.domain.line.application import NewApplication
    from shortlist.http.budget import Budget
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.database import Database

_GROUP_BYTES = 4 << 20
"""Of texts in one commit: they are copied twice on their way to Postgres. 8 000 usual ones."""

_COMMIT_SHARE = 1 / 6
"""Of the time-out, what a commit and its answer may take: Postgres begins none that has less."""

_LOOKS = 1
"""For an answer after the deadline: a process that was stopped has not read what has come."""


class GroupCommit:
    """Commits applications, many in one transaction."""

    def __init__(
        self,
        database: Database,
        budget: Budget,
        *,
        flushers: int,
        timeout_seconds: float,
        backlog: int,
        on_accepted: Callable[[Sequence[NewApplication]], None],
    ) -> None:
        """``on_accepted`` gets each group after its commit; it must not block."""
        self._database = database
        self._budget = budget
        self._commit_seconds = timeout_seconds * _COMMIT_SHARE
        self._backlog = backlog
        self._on_accepted = contained(on_accepted)
        self._groups = DeadlineBatcher(
            self._commit,
            timeout_seconds=timeout_seconds,
            overlap=flushers,
            on_refused=REFUSED.labels("unavailable").inc,
            weigh=_size,
            max_weight=_GROUP_BYTES,
            hold=budget.add,
        )

    @property
    def is_full(self) -> bool:
        """Whether so many wait for a commit, or hold so much, that none may join them."""
        return self._groups.waiting >= self._backlog or self._budget.is_full

    def accept(
        self, application: NewApplication, since: float | None = None
    ) -> asyncio.Future[AcceptOutcome]:
        """Commit an application; the future raises `DatabaseUnavailableError` when that failed.

        ``since``: when its request was whole (monotonic seconds); None: now.
        A 503 means that nothing was committed, unless Postgres fell silent during the commit: no
        server can tell the client which. An idempotency key makes it safe to try again even so.
        """
        if self.is_full:
            REFUSED.labels("backlog").inc()
            raise unavailable("Too many requests wait for a commit. Nothing was accepted.")
        return self._groups.submit(application, since or time.monotonic())

    async def finish(self) -> None:
        """Wait until every waiting client has been answered."""
        await self._groups.join()

    async def _commit(
        self, waiting: list[Asked[NewApplication]], deadline: float
    ) -> list[AcceptOutcome]:
        group = [w.item for w in waiting]
        await failpoint("ingest.before_commit")
        try:
            outcomes = await self._insert(group, deadline)
        except Exception as error:
            if len(group) > 1 or fault_of(error) is not Fault.ITEM:
                raise  # each of the group is tried alone, before any of them is blamed
            REFUSED.labels("invalid").inc()
            raise invalid("Postgres refuses this application. Nothing was accepted.") from error
        await failpoint("ingest.after_commit")
        accepted = [a for a, o in zip(group, outcomes, strict=True) if isinstance(o, Accepted)]
        _measure(waiting, accepted)
        self._on_accepted(accepted)
        return outcomes

    async def _insert(self, group: list[NewApplication], deadline: float) -> list[AcceptOutcome]:
        latest = deadline - self._commit_seconds

        async def insert(connection: Connection) -> list[AcceptOutcome]:
            try:
                return await self._accept(connection, group, latest)
            except applications.DeadlineExceededError:
                if time.monotonic() >= latest:
                    raise
            self._database.learn_clock(await ServerClock.read(connection))  # it was set
            return await self._accept(connection, group, latest)

        try:
            return await self._database.run(insert, deadline)
        except applications.DeadlineExceededError as error:
            raise DatabaseUnavailableError from error

    async def _accept(
        self, connection: Connection, group: list[NewApplication], latest: float
    ) -> list[AcceptOutcome]:
        """Insert a group, if Postgres comes to it by ``latest`` (monotonic seconds)."""
        clock = self._database.clock
        before = None if clock is None else clock.at(latest)
        return await outcome_of(applications.accept(connection, group, before=before), looks=_LOOKS)


def _size(application: NewApplication) -> int:
    """Weigh the texts in memory: one emoji makes every character of a text four bytes."""
    return sys.getsizeof(application.payload) + sys.getsizeof(application.candidate)


def _measure(waiting: list[Asked[NewApplication]], accepted: list[NewApplication]) -> None:
    now = time.monotonic()
    GROUP_SIZE.observe(len(waiting))
    for w in waiting:
        ACCEPT_SECONDS.observe(now - w.since)
    for pipeline in {a.pipeline for a in accepted}:
        ACCEPTED.labels(pipeline).inc(sum(a.pipeline == pipeline for a in accepted))
