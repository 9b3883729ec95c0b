"""One call of a scorer, which can be interrupted: when the claim is lost, or the grace is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from shortlist.domain.errors import ShortlistError
from shortlist.domain.line.scoring import TemporaryScoringError

if TYPE_CHECKING:
    from shortlist.domain.line.scoring import Score, Scorer

Interruption = Literal["lost", "drained"]


class ScoringInterruptedError(ShortlistError):
    """Scoring was cut short: the claim was lost, or the grace period is over."""

    def __init__(self, why: Interruption) -> None:
        """Keep why."""
        super().__init__(why)
        self.why = why


class ScorerCall:
    """Calls a scorer so that the call can be interrupted, and only it: never a write."""

    def __init__(self, scorer: Scorer) -> None:
        """Nothing is asked of ``scorer`` before `run`."""
        self.scorer = scorer
        self._deadline: asyncio.Timeout | None = None
        self._why: Interruption | None = None

    def lose(self) -> None:
        """Interrupt it: the claim is gone."""
        self.interrupt("lost")

    def interrupt(self, why: Interruption) -> bool:
        """Cut the call short if it runs, or as soon as it starts. Whether it had not ended."""
        if self._deadline is None:
            self._why = self._why or why
            return False
        if self._deadline.expired():
            return False
        self._why = self._why or why
        self._deadline.reschedule(asyncio.get_running_loop().time())
        return True

    async def run(self, payload: str, timeout_seconds: float) -> Score:
        """Score; a time-out raises a `TemporaryScoringError`.

        `ScoringInterruptedError` when it was cut short, any other `ScoringError` by the scorer.
        """
        if self._why is not None:
            raise ScoringInterruptedError(self._why)
        try:
            async with asyncio.timeout(timeout_seconds) as self._deadline:
                return await self.scorer.score(payload)
        except TimeoutError:
            if self._why is not None:
                raise ScoringInterruptedError(self._why) from None
            raise TemporaryScoringError(f"no score after {timeout_seconds:g} s") from None
        finally:
            self._deadline = None
