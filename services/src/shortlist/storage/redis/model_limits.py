"""What all workers of a pipeline share about its model: a pause, and limits per minute.

**The pause.** When the model asks one worker to wait, all of them wait. A key with a time to live,
so that a pause ends by itself and a dead worker cannot leave one behind. It is looked at before
each score; what is being scored goes on.

**The limits.** The generic cell rate algorithm (ITU-T Recommendation I.371, annex A), which needs
one number for each limit: the theoretical arrival time, when all that was taken so far is paid for
at the limit's rate. A start may be ahead of it by `BURST_SECONDS`. A request is reserved before it
is made. What it takes in tokens is known only from its reply, so it is charged then, and the next
start waits until the debt is paid: in any time no more is used than the rate times that time, the
burst, and what is on its way. Redis' clock counts, which is one for all; keys live no longer than
they say something, and when Redis loses them the pipeline has its burst anew. Each key says when it
was written, too: when that is still to come, the clock was set back, and what is owed is counted
from now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.line.scoring import LONGEST_PAUSE_SECONDS
from shortlist.storage.redis import keys
from shortlist.storage.redis.scripts import SCRIPTS

if TYPE_CHECKING:
    from shortlist.domain.line.application import PipelineName
    from shortlist.storage.redis import Redis

BURST_SECONDS = 10.0
"""What a limit gives in this time may be taken at once; one request always may."""

_LONGEST_PAUSE_MILLISECONDS = int(LONGEST_PAUSE_SECONDS * 1000)


async def pause(redis: Redis, pipeline: PipelineName, seconds: float) -> None:
    """Have all of a pipeline's workers start no score for so long; never shortens a pause.

    At most `LONGEST_PAUSE_SECONDS` count.
    """
    milliseconds = int(min(seconds, LONGEST_PAUSE_SECONDS) * 1000)
    if milliseconds > 0:
        bounds = str(milliseconds), str(_LONGEST_PAUSE_MILLISECONDS)
        await SCRIPTS["pause"].run(redis, [keys.limiter(pipeline)], *bounds)


async def paused_for(redis: Redis, pipeline: PipelineName) -> float:
    """Return seconds until scores may start; 0 when they may now."""
    milliseconds = int(await redis.pttl(keys.limiter(pipeline)))
    return milliseconds / 1000 if 0 < milliseconds <= _LONGEST_PAUSE_MILLISECONDS else 0.0


_HOWEVER_LONG_SECONDS = 1e12


@dataclass(frozen=True, slots=True)
class _Limit:
    key: str
    interval_seconds: float
    """In which one is allowed."""
    burst_seconds: float
    """How much sooner than it is due something may start."""


class RateLimits:
    """The limits of one pipeline; false when there is none."""

    def __init__(
        self,
        redis: Redis,
        pipeline: PipelineName,
        *,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
    ) -> None:
        """Every worker must be told the same; None is no limit."""
        self._redis = redis
        self._requests, self._tokens = None, None
        if requests_per_minute is not None:
            interval = 60 / requests_per_minute
            burst = max(0.0, BURST_SECONDS - interval)  # less the one that starts
            self._requests = _Limit(keys.requests(pipeline), interval, burst)
        if tokens_per_minute is not None:
            self._tokens = _Limit(keys.tokens(pipeline), 60 / tokens_per_minute, BURST_SECONDS)

    def __bool__(self) -> bool:
        """Tell whether anything is limited."""
        return self._requests is not None or self._tokens is not None

    async def reserve(self, longest_seconds: float) -> float:
        """Return seconds until the caller may make one request.

        Reserved only when they are no more than ``longest_seconds``.
        """
        return await self._take(longest_seconds, (self._requests, 1), (self._tokens, 0))

    async def charge(self, tokens: int) -> None:
        """Take what a reply cost, input and output tokens."""
        if self._tokens is not None:
            await self._take(_HOWEVER_LONG_SECONDS, (self._tokens, tokens))

    async def _take(self, longest_seconds: float, *taken: tuple[_Limit | None, int]) -> float:
        limits = [(limit, count) for limit, count in taken if limit is not None]
        arguments = [longest_seconds]
        for limit, count in limits:
            arguments += [count * limit.interval_seconds, limit.burst_seconds]
        names = [limit.key for limit, _ in limits]
        return float(await SCRIPTS["take"].run(self._redis, names, *map(repr, arguments)))
