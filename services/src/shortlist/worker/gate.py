"""Whether scores may start: what the model's service asked of all workers of a pipeline.

**A pause** (`model_limits`): the service has asked the pipeline to wait for a while. It grows while
pauses follow each other without a score in between.

**A refusal** (`storage.refusal`): whatever is asked is refused. One application at a time, of all
workers, is let through to find out whether that has ended. While Redis is away each worker keeps to
both by itself. Times are those of `time.monotonic`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Literal

import structlog

from shortlist.domain.line.scoring import LEAST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
from shortlist.storage.redis import model_limits, refusal
from shortlist.storage.redis.refusal import Refusal
from shortlist.storage.trouble import Trouble
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.domain.line.application import PipelineName, WorkerId
    from shortlist.domain.line.scoring import RefusedError
    from shortlist.storage.redis import Redis

log = structlog.get_logger(__name__)

Passage = Literal["open", "probe"]

_POLL_INTERVAL_SECONDS = 0.2
_NOT_CHOSEN_SECONDS = 1.0
_DOUBLINGS = 6
"""Of the least pause: a service that throttles each time is asked again after a minute or so."""


class Gate:
    """Lets the scores of one worker start, or has them wait."""

    def __init__(self, redis: Redis, pipeline: PipelineName, worker_id: WorkerId) -> None:
        """Begin open, until a pause or a refusal is read."""
        self._redis = redis
        self._pipeline = pipeline
        self._worker_id = worker_id
        self._paused_until = 0.0
        self._pauses_in_a_row = 0
        self._changes = 0
        self._refusal: Refusal | None = None
        self._ask_again_at = 0.0
        self._is_asking = False
        self._trouble = Trouble("telling of the model", "redis")

    @property
    def refused(self) -> str | None:
        """Return why everything is refused; None when it is not."""
        return None if self._refusal is None else self._refusal.why

    @property
    def paused_seconds(self) -> float:
        """Return how much longer the pause is; 0 without one."""
        return max(0.0, self._paused_until - time.monotonic())

    async def poll(self) -> None:
        """Read what other workers shared."""
        before = self._changes
        paused_seconds = await model_limits.paused_for(self._redis, self._pipeline)
        refused = await refusal.current(self._redis, self._pipeline)
        if self._changes == before:  # else this worker knows better by now
            self._paused_until = time.monotonic() + paused_seconds
            self._become(refused)

    async def enter(self, gives_up: Callable[[], bool]) -> Passage | None:
        """Wait until a score may start; None when ``gives_up`` says so first.

        After ``probe`` the caller must call `leave_probe`.
        """
        while not gives_up():
            if self.paused_seconds:
                await asyncio.sleep(min(self.paused_seconds, _POLL_INTERVAL_SECONDS))
            elif self._refusal is None:
                return "open"
            elif await self._may_ask(self._refusal):
                return "probe"
            else:
                await asyncio.sleep(_POLL_INTERVAL_SECONDS)
        return None

    async def leave_probe(self, *, asked: bool) -> None:
        """End a probe: its application has ended; ``asked``: the service was asked."""
        self._is_asking = False
        if not asked:
            self._ask_again_at = time.monotonic()
            await self._share(refusal.did_not_ask(self._redis, self._pipeline))

    async def answered(self) -> None:
        """Note that the service answered: nothing is refused, and a pause would be the first."""
        self._pauses_in_a_row = 0
        if self._refusal is not None:
            self._become(None)
            await self._share(refusal.lift(self._redis, self._pipeline))

    async def pause(self, seconds: float) -> None:
        """Start no score for so long, in the whole pipeline; bounded both ways."""
        if not self.paused_seconds:
            self._pauses_in_a_row += 1
        least = LEAST_PAUSE_SECONDS * 2 ** min(self._pauses_in_a_row - 1, _DOUBLINGS)
        seconds = min(max(seconds, least), LONGEST_PAUSE_SECONDS)
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        await self._share(model_limits.pause(self._redis, self._pipeline, seconds))

    async def refuse(self, error: RefusedError) -> None:
        """Start no score in the whole pipeline, but for those that ask again."""
        refused = Refusal(str(error), error.ask_again_seconds)
        if self._refusal is None:
            self._ask_again_at = time.monotonic() + refused.ask_again_seconds
        self._become(refused)
        await self._share(refusal.refuse(self._redis, self._pipeline, refused))

    async def _may_ask(self, refused: Refusal) -> bool:
        """Tell whether this worker is the one that asks again, now."""
        if self._is_asking or time.monotonic() < self._ask_again_at:
            return False
        self._is_asking = True  # before anything is awaited: another task may ask as well
        self._is_asking = await self._is_chosen(refused.ask_again_seconds)
        seconds = refused.ask_again_seconds if self._is_asking else _NOT_CHOSEN_SECONDS
        self._ask_again_at = time.monotonic() + seconds
        return self._is_asking

    async def _is_chosen(self, seconds: float) -> bool:
        try:
            chosen = await refusal.may_ask(self._redis, self._pipeline, self._worker_id, seconds)
        except Exception as error:  # then each worker asks for itself
            self._trouble.met(error)
            return True
        self._trouble.over()
        return chosen

    def _become(self, refused: Refusal | None) -> None:
        if refused is not None and self._refusal is None:
            log.error("all_is_refused", pipeline=self._pipeline, why=refused.why)
        elif refused is None and self._refusal is not None:
            log.info("nothing_is_refused_any_more", pipeline=self._pipeline)
        self._refusal = refused
        metrics.MODEL_REFUSES.labels(self._pipeline).set(refused is not None)

    async def _share(self, message: Awaitable[None]) -> None:
        """Share with the other workers; those that do not hear of it find out for themselves.

        What `poll` read before or meanwhile is older than what this worker knows.
        """
        self._changes += 1
        try:
            await message
            self._trouble.over()
        except Exception as error:  # the others find out from the model
            self._trouble.met(error)
        self._changes += 1
