"""Tells a text that is refused from a service that refuses all: asks about another text.

A 400 may mean that this text is too long, or that the account is empty, or that a parameter of ours
is not taken any more; five time-outs in a row may be five long texts, or an outage. Words of the
service could tell some of these apart today; they change. One more request, about a text that is
known to be fine, tells all of them, and costs less than an application that fails for nothing.
It does not wait for the pipeline's own limits, and is not charged to them.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from shortlist.domain.line.scoring import (
    PermanentScoringError,
    RefusedError,
    ScoringError,
    TemporaryScoringError,
    ThrottledError,
)
from shortlist.worker.scorers.claude.errors import (
    REFUSED_SECONDS,
    UNREACHABLE_SECONDS,
    DoubtfulError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FINE_TEXT = "I have tended the gardens of two schools for six years, and would like to do so here."

MANY_FAILURES = 5
"""So many of a worker's requests, one after another and without an answer in between, are looked
into. Fewer are a service's ordinary bad moments, and tried again."""


class Canary:
    """Asks about a text that is known to be fine, one request at a time."""

    def __init__(self, ask: Callable[[str], Awaitable[object]]) -> None:
        """``ask`` makes a request about a text and raises a `ScoringError` without an answer."""
        self._ask = ask
        self._turn = asyncio.Lock()
        self._failures = 0
        self._asked_at = 0.0
        self._trouble: ScoringError | None = None

    def answered(self) -> None:
        """Note that the service gave a message, be it a useful one or not."""
        self._failures = 0

    async def judge(self, error: TemporaryScoringError) -> ScoringError:
        """Decide what a failed request is, once it is known whether the service answers others."""
        doubtful = isinstance(error, DoubtfulError)
        self._failures += 1
        if not doubtful and self._failures < MANY_FAILURES:
            return error
        trouble = await self._trouble_since(time.monotonic())
        if trouble is None:
            return PermanentScoringError(str(error)) if doubtful else error
        return _for_all(error, trouble, doubtful=doubtful)

    async def _trouble_since(self, failed_at: float) -> ScoringError | None:
        """Return what a request met that was made after ``failed_at``; those who wait share one."""
        async with self._turn:
            if self._asked_at <= failed_at:
                asked_at, trouble = time.monotonic(), await self._try()
                self._asked_at, self._trouble = asked_at, trouble
            return self._trouble

    async def _try(self) -> ScoringError | None:
        try:
            await self._ask(FINE_TEXT)
        except ScoringError as trouble:
            return trouble
        self.answered()
        return None


def _for_all(
    error: TemporaryScoringError, trouble: ScoringError, *, doubtful: bool
) -> ScoringError:
    """Decide what it is, when the text that is fine gave ``trouble``."""
    if isinstance(trouble, RefusedError):
        return trouble
    if isinstance(trouble, ThrottledError):
        return trouble  # nothing was learnt; it is asked again, and no attempt is used
    if isinstance(trouble, DoubtfulError):
        return RefusedError(str(trouble), REFUSED_SECONDS)
    return error if doubtful else RefusedError(str(error), UNREACHABLE_SECONDS)
