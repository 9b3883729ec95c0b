"""A pipeline's shared pause: when the model asks one worker to wait, all of them wait.

A key with a time to live, so that nobody has to end a pause and a dead worker cannot leave one
behind. It is looked at before each score; what is being scored goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage import keys

if TYPE_CHECKING:
    from shortlist.domain.application import PipelineName
    from shortlist.storage.redis import Redis

LONGEST_PAUSE_SECONDS = 300.0
"""A model's service that asks for more is asked again by then: one odd header must not stop a
pipeline for hours."""

_EXTEND = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
end
"""
# PEXPIRE … GT would do, but it came with Redis 7. PTTL is negative when there is no pause.


async def pause(redis: Redis, pipeline: PipelineName, seconds: float) -> None:
    """Have all of a pipeline's workers start no score for so long; never shortens a pause.

    At most `LONGEST_PAUSE_SECONDS` count. May raise `storage.redis.REDIS_ERRORS`.
    """
    milliseconds = int(min(seconds, LONGEST_PAUSE_SECONDS) * 1000)
    if milliseconds > 0:
        await redis.eval(_EXTEND, 1, keys.limiter(pipeline), str(milliseconds))


async def paused_for(redis: Redis, pipeline: PipelineName) -> float:
    """Seconds until scores may start; 0 when they may now. May raise `REDIS_ERRORS`."""
    return max(0, int(await redis.pttl(keys.limiter(pipeline)))) / 1000
