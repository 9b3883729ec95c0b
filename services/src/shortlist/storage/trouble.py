"""What a step does when a server fails it: one pattern for every process.

While it is the server's trouble, the step is tried again with full jitter. When it is everyone's,
it is tried again more slowly and said as an error. An item's trouble and a bug are raised: the
caller ends that item. Each is counted (``shortlist_faults_total``), said once for as long as it
lasts, and shown by readiness (`open_troubles`).
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar
from weakref import WeakSet

import structlog

from shortlist.storage.faults import Fault, OutcomeError, describe, fault_of
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Server = Literal["postgres", "redis", "server"]
T = TypeVar("T")

_BASE_SECONDS = 0.05
_CEILING_SECONDS = {
    Fault.SERVER: 1.0,
    Fault.EVERYONE: 3.0,
    Fault.BUG: 3.0,
    Fault.ITEM: 3.0,
}
"""The longest pause between two tries: a server that is back is used within a second."""

log = structlog.get_logger(__name__)


@dataclass
class _Spell:
    """The time in which a step of this process fails: from its first failure to its next success.

    Many operations may be in the same step at once: it is over when none of them waits any more.
    """

    since: float
    error: BaseException
    waiting: WeakSet[Trouble] = field(default_factory=WeakSet)
    said: set[Fault] = field(default_factory=set)


_spells: dict[str, _Spell] = {}


class Trouble:
    """The failures of one operation, or of one loop, at one step."""

    def __init__(self, step: str, server: Server) -> None:
        """``step``: what is done, for people who read the log; ``server``: who does it."""
        self.step = step
        self._unavailable, self._refuses = f"{server}_unavailable", f"{server}_refuses_everyone"
        self._failures = 0

    def met(self, error: BaseException) -> Fault:
        """Count an error, and say it once for each time of trouble; whose trouble it is."""
        fault = fault_of(error)
        self._failures += 1
        metrics.FAULTS.labels(self.step, fault).inc()
        spell = _spells.get(self.step)
        if spell is None or not spell.waiting:
            spell = _spells[self.step] = _Spell(time.monotonic(), error)
        spell.error = error
        spell.waiting.add(self)
        if fault not in spell.said:
            spell.said.add(fault)
            self._say(fault, error)
        return fault

    def over(self) -> None:
        """Record that the operation was done, or given up."""
        self._failures = 0
        spell = _spells.get(self.step)
        if spell is None:
            return
        spell.waiting.discard(self)
        if not spell.waiting:
            del _spells[self.step]
            seconds = round(time.monotonic() - spell.since, 3)
            log.info("trouble_over", doing=self.step, seconds=seconds)

    async def wait(self, fault: Fault) -> None:
        """Wait before the next try: full jitter, longer with each failure."""
        ceiling = min(_CEILING_SECONDS[fault], _BASE_SECONDS * 2 ** min(self._failures, 10))
        await asyncio.sleep(random.uniform(0, ceiling))  # spreads load

    async def wait_after(self, error: Exception) -> None:
        """Wait before the next try; raises the error when another try would not help."""
        fault = self.met(error)
        if fault in {Fault.ITEM, Fault.BUG}:
            raise error
        await self.wait(fault)

    def _say(self, fault: Fault, error: BaseException) -> None:
        if fault is Fault.SERVER:
            log.warning(self._unavailable, doing=self.step, error=repr(error))
        elif fault is Fault.EVERYONE:
            log.error(self._refuses, doing=self.step, error=repr(error))
        elif fault is Fault.ITEM:
            log.warning("refused_for_its_data", doing=self.step, error=repr(error))
        else:
            log.error("step_failed", doing=self.step, exc_info=error)


async def persistently(
    operation: Callable[[], Awaitable[T]], step: str, *, server: Server = "postgres"
) -> T:
    """Do it until the server does it. Cancel to give up.

    Only for operations that may be done twice. Raises what is the item's trouble, or a bug.
    """
    trouble = Trouble(step, server)
    try:
        while True:
            try:
                return await operation()
            except OutcomeError:
                raise
            except Exception as error:  # `fault_of` decides
                await trouble.wait_after(error)
    finally:
        trouble.over()


def open_troubles(*, older_than_seconds: float = 1.0) -> dict[str, str]:
    """Return what this process cannot do now, and since when: step → the newest error."""
    now = time.monotonic()
    return {
        step: describe(spell.error)
        for step, spell in _spells.items()
        if spell.waiting and now - spell.since >= older_than_seconds
    }
