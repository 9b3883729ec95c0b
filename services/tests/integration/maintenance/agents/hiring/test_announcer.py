from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.domain.hiring.placement import OpeningId
from shortlist.storage import redis
from shortlist.storage.redis import keys, new_subscription
from testkit.waiting import until

if TYPE_CHECKING:
    from shortlist.maintenance.agents.hiring.announcer import Announcer
    from shortlist.maintenance.agents.hiring.deadlines import Deadlines
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.redis import Redis

    from .conftest import Office


async def test_who_follows_an_opening_is_told_its_newest_event_once(
    office: Office, deadlines: Deadlines, announcer: Announcer, line_redis: Redis
) -> None:
    memory = await office.opening()
    async with await new_subscription(line_redis) as subscription:
        await subscription.subscribe(keys.opening_events(memory.id))
        await deadlines.turn()
        await announcer.turn()
        announcer.tell({OpeningId(memory.id): 99})
        await announcer.turn()
        await announcer.turn()
        told: list[str] = []

        async def heard() -> bool:
            message = await subscription.get_message(ignore_subscribe_messages=True, timeout=1)
            told.extend([message["data"]] if message else [])
            return told[-1:] == ["99"]

        await until(heard, within_seconds=10, what="the listener is told")
    newest = await office.db.fetchval("SELECT max(sequence) FROM opening_events")
    assert told == [str(newest), "99"]


async def test_a_redis_that_is_away_delays_no_deadline(
    office: Office, deadlines: Deadlines, desk: LeaderContext
) -> None:
    desk.redis = redis.connect("unix:///nowhere/redis.sock")
    memory = await office.opening()
    await deadlines.turn()
    assert await office.told(memory) == ["DECAY_TRIGGERED", "PROMOTED"]
