"""A scorer that keeps to the limits that its pipeline's workers share."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from shortlist.domain.line.scoring import (
    LONGEST_PACE_SECONDS,
    Score,
    Scorer,
    ScoringError,
    ThrottledError,
)
from shortlist.storage.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.storage.redis.model_limits import RateLimits

_ASK_AGAIN_SECONDS = 1.0
"""After Redis did not answer: one that hangs costs a few scores its time-out, not all of them."""

T = TypeVar("T")


class LimitedScorer:
    """Calls another scorer as often as the limits allow; see `domain.scoring.Scorer`.

    While Redis cannot be asked it scores without them: a 429 of the service still says so.
    """

    def __init__(self, scorer: Scorer, limits: RateLimits) -> None:
        """``scorer`` is closed with this one; the client of ``limits`` is its owner's."""
        self.name = scorer.name
        self._scorer = scorer
        self._limits = limits
        self._asking = asyncio.Lock()  # one connection is enough, and the client has few
        self._trouble = Trouble("keeping to the limits", "redis")
        self._ask_after = 0.0

    async def score(self, payload: str) -> Score:
        """Wait for a turn, score, and charge what it took.

        Raises:
            ThrottledError: the turn is more than `LONGEST_PACE_SECONDS` away; nothing is
                reserved then.
        """
        wait_seconds = await self._ask(partial(self._limits.reserve, LONGEST_PACE_SECONDS)) or 0.0
        if wait_seconds > LONGEST_PACE_SECONDS:
            raise ThrottledError("the pipeline's own limit is reached", wait_seconds)
        await asyncio.sleep(wait_seconds)
        try:
            score = await self._scorer.score(payload)
        except ScoringError as error:
            await self._charge(error.tokens)
            raise
        await self._charge(score.tokens)
        return score

    async def close(self) -> None:
        """Close the other scorer."""
        await self._scorer.close()

    async def _charge(self, tokens: int) -> None:
        if tokens:
            await self._ask(partial(self._limits.charge, tokens))

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """Ask; return the answer, None when there is none."""
        async with self._asking:
            if time.monotonic() < self._ask_after:
                return None
            try:
                answer = await question()
            except Exception as error:  # no application fails for a limit's sake
                self._trouble.met(error)
                self._ask_after = time.monotonic() + _ASK_AGAIN_SECONDS
                return None
            self._trouble.over()
            return answer
