from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from uuid_utils.compat import uuid7

from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId
from shortlist.storage.redis.events import Announcements, announce
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shortlist.storage.redis import Redis

ONE, OTHER = ApplicationId(uuid7()), ApplicationId(uuid7())


@asynccontextmanager
async def running(redis: Redis) -> AsyncIterator[Announcements]:
    announcements = Announcements(redis)
    task = asyncio.create_task(announcements.run())
    await connected(announcements)
    try:
        yield announcements
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def connected(announcements: Announcements) -> None:
    async def look() -> bool:
        return announcements.connected

    await until(look, within_seconds=20, what="announcements arrive")


async def subscribed(redis: Redis, channels: int) -> None:
    """Wait until so many channels have a subscriber, our own not counted."""

    async def look() -> bool:
        return len(await redis.pubsub_channels("sl:events:*")) - 1 == channels

    await until(look, within_seconds=20, what=f"{channels} channels have a subscriber")


async def test_a_watcher_is_woken_by_its_own_application_only(line_redis: Redis) -> None:
    async with running(line_redis) as announcements:
        with announcements.watch(ONE) as one, announcements.watch(OTHER) as other:
            await subscribed(line_redis, 2)

            async def only_one_is_woken() -> bool:
                one.clear()
                other.clear()
                await announce(line_redis, DEFAULT_PIPELINE, [(ONE, "scoring")])
                await asyncio.wait_for(one.wait(), 20)
                return not other.is_set()

            # At first the subscription itself may wake them.
            await until(only_one_is_woken, within_seconds=20, what="only one is woken")


async def test_the_last_watcher_ends_the_subscription(line_redis: Redis) -> None:
    async with running(line_redis) as announcements:
        with announcements.watch(ONE):
            with announcements.watch(ONE):
                await subscribed(line_redis, 1)
            assert announcements.watchers == 1
        assert announcements.watchers == 0
        await subscribed(line_redis, 0)


async def test_watchers_are_woken_when_the_subscription_breaks_and_when_it_is_back(
    line_redis: Redis,
) -> None:
    async with running(line_redis) as announcements:
        with announcements.watch(ONE) as changed:
            await subscribed(line_redis, 1)
            changed.clear()
            await line_redis.client_kill_filter(_type="pubsub")
            await asyncio.wait_for(changed.wait(), 20)
            await connected(announcements)
            changed.clear()

            async def look() -> bool:
                await announce(line_redis, DEFAULT_PIPELINE, [(ONE, "scored")])
                return changed.is_set()

            await until(look, within_seconds=20, what="announcements arrive again")
