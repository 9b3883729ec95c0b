"""Group commit, for anything: what arrives while a batch runs becomes the next batch. No timer."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Item = TypeVar("Item")
Result = TypeVar("Result")
Committed = TypeVar("Committed")
_Batch: TypeAlias = "list[tuple[Item, asyncio.Future[Result], int]]"
"""With the weight of each."""


_log = structlog.get_logger(__name__)


def weigh_nothing(_item: object) -> int:
    """Weigh an item where weights do not matter."""
    return 0


def ignore(_count: int) -> None:
    """Take a count that does not matter."""


def contained(tell: Callable[[Committed], None]) -> Callable[[Committed], None]:
    """Return a function that hands on what was committed, and logs what that raises.

    Raised to `Batcher`, it would have the whole batch done again, and its callers told that it
    failed.
    """

    def told(committed: Committed) -> None:
        try:
            tell(committed)
        except Exception:  # a bug: what was committed is answered all the same
            _log.exception("telling_what_was_committed_failed")

    return told


class Batcher(Generic[Item, Result]):
    """Runs ``run`` over lists of items, at most ``overlap`` lists at once.

    A lone item goes at once; under load batches grow by themselves to what one round takes.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Awaitable[list[Result]]],
        *,
        overlap: int = 1,
        max_batch: int = 1000,
        apart: Callable[[Exception], bool] = lambda _: False,
        weigh: Callable[[Item], int] = weigh_nothing,
        max_weight: int = 0,
        hold: Callable[[int], None] = ignore,
    ) -> None:
        """``run`` returns one result per item, in order, or raises for all of them.

        ``apart``: whether an error may be one item's only. The batch is run again in halves then,
        and theirs, until the error is that of the items it belongs to.

        A batch ends with the item whose weight brings it to ``max_weight``, if that is not 0.
        ``hold`` is told the weight of each item when it comes, and its negative when it is done.
        """
        self._run = run
        self._apart = apart
        self._overlap = overlap
        self._max_batch = max_batch
        self._weigh = weigh
        self._max_weight = max_weight
        self._hold = hold
        self._waiting: deque[tuple[Item, asyncio.Future[Result], int]] = deque()
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Items that no batch has taken yet."""
        return len(self._waiting)

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Queue an item; the future has its result when its batch is done."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        weight = self._weigh(item)
        self._waiting.append((item, future, weight))
        if weight:
            self._hold(weight)
        if self._running < self._overlap:
            self._running += 1
            task = asyncio.create_task(self._drain())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return future

    @property
    def oldest(self) -> Item | None:
        """The first item that no batch has taken yet."""
        return self._waiting[0][0] if self._waiting else None

    def fail_waiting(self, error: Exception, which: Callable[[Item], bool] = lambda _: True) -> int:
        """Give up items that no batch has taken yet; how many that were."""
        failed = [waiting for waiting in self._waiting if which(waiting[0])]
        if failed:
            self._waiting = deque(w for w in self._waiting if not which(w[0]))
            self._fail(failed, error)
        return len(failed)

    async def join(self) -> None:
        """Wait until nothing waits or runs."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _drain(self) -> None:
        try:
            await self._run_batches()
        finally:
            self._running -= 1  # before another task runs: the next submitter must start a new one

    async def _run_batches(self) -> None:
        while self._waiting:
            batch = self._next_batch()
            try:
                await self._run_batch(batch)
            except BaseException:
                for _, future, _ in batch:
                    future.cancel()
                raise

    async def _run_batch(self, batch: _Batch[Item, Result]) -> None:
        try:
            results = await self._run([item for item, _, _ in batch])
        except Exception as error:  # each caller gets it, whatever it is
            if len(batch) == 1 or not self._apart(error):
                self._fail(batch, error)
                return
            middle = len(batch) // 2
            await self._run_batch(batch[:middle])
            await self._run_batch(batch[middle:])
        else:
            self._let_go(batch)
            for (_, future, _), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

    def _next_batch(self) -> _Batch[Item, Result]:
        count = min(len(self._waiting), self._max_batch)
        batch = [self._waiting.popleft()]
        weight = batch[0][2]
        while len(batch) < count and not (self._max_weight and weight >= self._max_weight):
            batch.append(self._waiting.popleft())
            weight += batch[-1][2]
        return batch

    def _fail(self, batch: _Batch[Item, Result], error: Exception) -> None:
        self._let_go(batch)
        for _, future, _ in batch:
            if not future.done():
                future.set_exception(error)

    def _let_go(self, batch: _Batch[Item, Result]) -> None:
        if weight := sum(weight for _, _, weight in batch):
            self._hold(-weight)
