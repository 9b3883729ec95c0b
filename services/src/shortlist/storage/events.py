"""Status changes, told through Redis pub/sub to whoever watches. A hint, like the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage import keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from shortlist.domain.application import ApplicationId, Status
    from shortlist.storage.redis import Redis


async def announce(redis: Redis, changes: Iterable[tuple[ApplicationId, Status]]) -> None:
    """Tell the watchers of each application its new status, in one round trip."""
    async with redis.pipeline(transaction=False) as pipe:
        for application_id, status in changes:
            pipe.publish(keys.events(str(application_id)), status)
        await pipe.execute()


async def watch(
    redis: Redis, application_id: ApplicationId, heartbeat_seconds: float
) -> AsyncIterator[str | None]:
    """Each announced status; None once subscribed, and whenever nothing came for a while.

    The reader looks the truth up in Postgres at each turn: announcements may be lost.
    """
    async with redis.pubsub(ignore_subscribe_messages=True) as subscription:
        await subscription.subscribe(keys.events(str(application_id)))
        yield None
        while True:
            message = await subscription.get_message(
                ignore_subscribe_messages=True, timeout=heartbeat_seconds
            )
            yield None if message is None else str(message["data"])
