"""How one notices that Redis lost its memory: a key that is gone then.

While everything unfinished is being published again the key says so. It is made good only if it
is still there at the end: a Redis that forgot once more meanwhile is noticed as well, and so is a
leader that died halfway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage import keys

if TYPE_CHECKING:
    from uuid import UUID

    from shortlist.storage.redis import Redis

_RESTORING = "restoring "

_FINISH = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2])
    return 1
end
return 0
"""


async def remembers(redis: Redis) -> bool:
    """Whether everything that was put into Redis is still there, as far as Redis's word goes."""
    value = await redis.get(keys.EPOCH)
    return value is not None and not str(value).startswith(_RESTORING)


async def begin_restoring(redis: Redis, epoch: UUID) -> None:
    """Say that everything is being published again."""
    await redis.set(keys.EPOCH, f"{_RESTORING}{epoch}")


async def finish_restoring(redis: Redis, epoch: UUID) -> bool:
    """Say that everything is there; False when Redis forgot meanwhile, or somebody began anew."""
    return bool(await redis.eval(_FINISH, 1, keys.EPOCH, f"{_RESTORING}{epoch}", str(epoch)))
