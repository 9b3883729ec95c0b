"""Takes from the line what there are slots for, and not more.

Entries that were delivered to this worker and got lost on the way (Redis was away when they
were sent or acknowledged) are found again among its own pending entries.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shortlist.runtime.failpoints import failpoint
from shortlist.storage.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from shortlist.storage.redis.line import Delivery, Line
    from shortlist.worker.gate import Gate
    from shortlist.worker.outbox import Outbox
    from shortlist.worker.slots import Slots
    from shortlist.worker.state import WorkerState

BLOCK_SECONDS = 1.0
_MAX_PULL = 500
_IDLE_SECONDS = 0.2


class Puller:
    """Feeds deliveries to ``start``, which begins to work on each and returns at once."""

    def __init__(
        self,
        state: WorkerState,
        gate: Gate,
        slots: Slots,
        line: Line,
        outbox: Outbox,
        start: Callable[[Delivery], None],
        is_known: Callable[[Delivery], bool],
    ) -> None:
        """``is_known`` tells whether a delivery is being worked on by this worker."""
        self._state = state
        self._gate = gate
        self._slots = slots
        self._line = line
        self._outbox = outbox
        self._start = start
        self._is_known = is_known
        self._reads_pending = False

    async def run(self) -> None:
        """Pull until the worker stops; survives anything that Redis does."""
        trouble = Trouble("pulling", "redis")
        while not self._state.stopping:
            try:
                await self._turn()
                trouble.over()
            except Exception as error:  # the next turn tries again
                self._reads_pending = True
                await trouble.wait(trouble.met(error))

    async def _turn(self) -> None:
        free = await self._slots.wait_free()
        if self._gate.paused_seconds or self._state.alone or not self._state.may_pull:
            await asyncio.sleep(min(_IDLE_SECONDS, self._gate.paused_seconds or _IDLE_SECONDS))
            return
        if self._gate.refused is not None:
            if self._slots.taken:  # one at hand is enough to ask again with
                await asyncio.sleep(_IDLE_SECONDS)
                return
            free = 1
        if self._reads_pending or self._outbox.unacknowledged:
            await self._recover()
            return
        consumer = str(self._state.worker_id)
        for delivery in await self._line.pull(consumer, min(free, _MAX_PULL), BLOCK_SECONDS):
            self._start(delivery)
        await failpoint("worker.after_pull")

    async def _recover(self) -> None:
        """Start what was delivered to us and never reached us, or was never acknowledged."""
        self._outbox.unacknowledged = False
        await self._outbox.flush()
        for delivery in await self._line.delivered_to(str(self._state.worker_id)):
            if not self._is_known(delivery):
                self._start(delivery)
        self._reads_pending = False
