"""Batches whose askers are all answered in time, however slow or far away the server is.

Time-outs that follow each other add up; so every asker brings the moment at which its request
began, and each limit counts from there: how long it may wait for a batch, and how long its batch
may run.
A batch that fails answers those who wait behind it too: none of them starts another time-out.
One that is refused for the data of some of it is tried apart: the others are answered as ever.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from shortlist.http.errors import ApiError
from shortlist.runtime.batching import Batcher, ignore, weigh_nothing
from shortlist.storage.faults import may_be_of_one
from shortlist.storage.unavailable import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Item = TypeVar("Item")
Result = TypeVar("Result")

_WAIT_SHARE = 2 / 3
"""Of the time-out, what an asker may wait before a batch takes it. With `_LEAST_SHARE` the last
answer comes after the time-out: 1.5 s by default, of 2 s that are promised. The rest is for what a
busy machine adds."""

_LEAST_SHARE = 1 / 3
"""Of the time-out, what a batch gets even when its oldest asker has waited for long."""

_CHECK_INTERVAL_SECONDS = 0.05
"""Between two looks for askers that have waited too long."""


def _may_be_of_one(error: Exception) -> bool:
    return not isinstance(error, ApiError | DatabaseUnavailableError) and may_be_of_one(error)


class Asked(NamedTuple, Generic[Item]):
    """A caller's item, and when its request began (monotonic seconds)."""

    item: Item
    since: float


class DeadlineBatcher(Generic[Item, Result]):
    """Batches items, and raises 503 for a caller before its time is up."""

    def __init__(
        self,
        run: Callable[[list[Asked[Item]], float], Awaitable[list[Result]]],
        *,
        timeout_seconds: float,
        overlap: int = 1,
        on_refused: Callable[[int], None] = ignore,
        weigh: Callable[[Item], int] = weigh_nothing,
        max_weight: int = 0,
        hold: Callable[[int], None] = ignore,
    ) -> None:
        """``run`` gets a batch and its deadline (monotonic seconds).

        ``on_refused`` is told how many askers were answered 503 together. ``weigh``,
        ``max_weight`` and ``hold`` are those of `Batcher`.
        """
        self._run = run
        self._timeout_seconds = timeout_seconds
        self._on_refused = on_refused
        self._batcher = Batcher(
            self._run_in_time,
            overlap=overlap,
            apart=_may_be_of_one,
            weigh=lambda asked: weigh(asked.item),
            max_weight=max_weight,
            hold=hold,
        )
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Count the callers that no batch has taken yet."""
        return self._batcher.waiting

    def submit(self, item: Item, since: float) -> asyncio.Future[Result]:
        """Queue an item of a request that began at ``since`` (monotonic)."""
        future = self._batcher.submit(Asked(item, since))
        if self._timer is None and self._batcher.waiting:
            self._schedule_refusals(since + self._timeout_seconds * _WAIT_SHARE)
        return future

    async def join(self) -> None:
        """Wait until nothing waits or runs."""
        await self._batcher.join()

    async def _run_in_time(self, asked: list[Asked[Item]]) -> list[Result]:
        try:
            return await self._run(asked, self._deadline(min(one.since for one in asked)))
        except DatabaseUnavailableError as error:
            # Those behind have waited as long: none of them shall wait for another time-out.
            self._on_refused(len(asked) + self._batcher.fail_waiting(error))
            raise

    def _deadline(self, since: float) -> float:
        """Return when a batch is given up whose oldest caller waits ``since``."""
        least = time.monotonic() + self._timeout_seconds * _LEAST_SHARE
        return max(since + self._timeout_seconds, least)

    def _schedule_refusals(self, at: float) -> None:
        delay = max(_CHECK_INTERVAL_SECONDS, at - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay, self._refuse_overdue)

    def _refuse_overdue(self) -> None:
        """Refuse callers that have waited too long; check again when the next one would have."""
        patience = self._timeout_seconds * _WAIT_SHARE
        overdue = time.monotonic() - patience
        if refused := self._batcher.fail_waiting(
            DatabaseUnavailableError(), lambda one: one.since <= overdue
        ):
            self._on_refused(refused)
        self._timer = None
        if (oldest := self._batcher.oldest) is not None:
            self._schedule_refusals(oldest.since + patience)
