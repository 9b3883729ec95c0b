"""What sizes workers looks at: the observers of `shortlist up` and of the operator.

Each looks once a second, as its process does, and writes a grant, as a scaler does. A server that
has that grant was read and written by it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.embedded.scaling.observer import Observer as UpsObserver
from shortlist.runtime.tasks import end
from shortlist.storage import redis
from shortlist.storage.faults import is_outage
from shortlist.storage.redis import heartbeats, keys
from shortlist.storage.redis.heartbeats import Grant
from shortlist.urls import DatabaseUrl, RedisUrl
from shortlist_operator.observe import Observer as OperatorsObserver
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testkit.databases.valkeys import Valkey

_POLL_INTERVAL_SECONDS = 1.0
UP, OPERATOR = "looks-for-up", "looks-for-the-operator"


@asynccontextmanager
async def lookouts(database_url: str, redis_url: str) -> AsyncIterator[None]:
    """Both look, for the length of a block."""
    up = UpsObserver(DatabaseUrl(database_url), RedisUrl(redis_url), [DEFAULT_PIPELINE])
    operator = OperatorsObserver(DatabaseUrl(database_url), redis.connect(RedisUrl(redis_url)))
    looking = [
        asyncio.create_task(_look_for_up(up)),
        asyncio.create_task(_look_for_the_operator(operator)),
    ]
    try:
        yield
    finally:
        await end(looking)
        ends = await asyncio.gather(*looking, return_exceptions=True)
        await up.close()
        await operator.close()
        for how in ends:
            assert isinstance(how, asyncio.CancelledError), how


async def are_forgotten(server: Valkey) -> None:
    """Take away what they wrote: what is there from now on was written to this server."""
    await server.ask("HDEL", keys.grants(DEFAULT_PIPELINE), UP, OPERATOR)


async def are_at(server: Valkey, within_seconds: float) -> None:
    """Wait until both have read this server and written to it."""

    async def look() -> bool:
        return {UP, OPERATOR} <= set(await server.ask("HKEYS", keys.grants(DEFAULT_PIPELINE)))

    await until(
        look, within_seconds=within_seconds, what="the observers read and write the new primary"
    )


async def _look_for_up(observer: UpsObserver) -> None:
    while True:
        await observer.observe()  # it never raises
        if DEFAULT_PIPELINE in observer.seen:
            await _write(observer.redis, UP)
        await asyncio.sleep(_POLL_INTERVAL_SECONDS)


async def _look_for_the_operator(observer: OperatorsObserver) -> None:
    while True:
        try:
            await observer.line(DEFAULT_PIPELINE)
        except Exception as error:
            if not is_outage(error):
                raise
        else:
            await _write(observer.redis, OPERATOR)
        await asyncio.sleep(_POLL_INTERVAL_SECONDS)


async def _write(client: redis.Redis, who: str) -> None:
    grant = Grant(epoch=1, connections=1)
    try:
        await heartbeats.publish_grants(client, DEFAULT_PIPELINE, {who: grant})
    except Exception as error:
        if not is_outage(error):  # else the next look tries again
            raise
