from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId, Verdict
from shortlist.ingest.routes import events as routes_events
from shortlist.storage.postgres.queries import claims
from shortlist.storage.redis import events
from testkit.processes.ingest import NO_REDIS, open_door
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from shortlist.storage.redis import Redis
    from testkit.clients.dashboard import Applicants
    from testkit.processes.ingest import Door

PATIENCE_SECONDS = 30


@asynccontextmanager
async def watched(door: Door, application: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The events of one watcher, as they come."""
    async with door.client.stream("GET", f"/applications/{application}/events") as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "text/event-stream"
        yield _events(reply.aiter_lines())


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    async for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def next_status(events_: AsyncIterator[dict[str, Any]]) -> str:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return str((await anext(events_))["status"])


async def score(applicants: Applicants, application: str, redis: Redis | None) -> None:
    """What a worker does; with Redis, it announces it."""
    application_id = ApplicationId(UUID(application))
    verdict = Verdict(application_id, 1, "scored", 50.0)
    await claims.complete(
        applicants.db, [verdict], pipeline=DEFAULT_PIPELINE, worker_id=applicants.worker
    )
    if redis is not None:
        await events.announce(redis, DEFAULT_PIPELINE, [(application_id, "scored")])


async def test_each_change_is_told_until_the_final_one(
    door: Door, applicants: Applicants, line_redis: Redis
) -> None:
    application = await door.accept()
    async with watched(door, application) as told:
        assert await next_status(told) == "pending"
        await claims.claim_leased(applicants.db, [UUID(application)], applicants.worker)  # type: ignore[list-item]
        await events.announce(
            line_redis, DEFAULT_PIPELINE, [(ApplicationId(UUID(application)), "scoring")]
        )
        assert await next_status(told) == "scoring"
        await score(applicants, application, line_redis)
        last = await anext(told)
        assert (last["status"], last["score"]) == ("scored", 50.0)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert [event async for event in told] == []  # the stream has ended


async def test_a_finished_application_is_told_at_once(door: Door, applicants: Applicants) -> None:
    application = await applicants.failed("Ada", "no reply")
    async with watched(door, str(application)) as told, asyncio.timeout(PATIENCE_SECONDS):
        assert [event["status"] async for event in told] == ["failed"]


async def test_without_redis_the_truth_is_looked_up_again_and_again(
    database_url: str, applicants: Applicants
) -> None:
    async with open_door(database_url, NO_REDIS) as door:
        application = str(await applicants.scoring("Ada"))
        async with watched(door, application) as told:
            assert await next_status(told) == "scoring"
            await score(applicants, application, None)
            assert await next_status(told) == "scored"


async def test_a_hundred_watchers_are_told_on_one_connection(
    door: Door, applicants: Applicants, line_redis: Redis
) -> None:
    application = str(await applicants.scoring("Ada"))
    clients_before = int((await line_redis.info("clients"))["connected_clients"])

    async def watch() -> list[str]:
        async with watched(door, application) as told, asyncio.timeout(PATIENCE_SECONDS):
            return [event["status"] async for event in told]

    watchers = [asyncio.create_task(watch()) for _ in range(100)]

    async def all_watch() -> bool:
        watching_now = door.ingest.announcements.watchers
        return watching_now == 100

    await until(all_watch, within_seconds=PATIENCE_SECONDS, what="all watch")
    clients = int((await line_redis.info("clients"))["connected_clients"])
    assert clients <= clients_before + 5
    await score(applicants, application, line_redis)
    assert await asyncio.gather(*watchers) == [["scoring", "scored"]] * 100


async def test_a_watcher_that_hangs_up_leaves_nothing_behind(door: Door) -> None:
    application = await door.accept()
    async with watched(door, application) as told:
        assert await next_status(told) == "pending"

        async def watched_by(count: int) -> bool:
            return door.ingest.announcements.watchers == count

        await until(lambda: watched_by(1), within_seconds=PATIENCE_SECONDS, what="it watches")
    await until(lambda: watched_by(0), within_seconds=PATIENCE_SECONDS, what="it is gone")


async def test_a_watcher_is_told_now_and_then_that_the_line_is_up(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes_events, "_KEEPALIVE_SECONDS", 0.1)
    application = await door.accept()
    async with (
        door.client.stream("GET", f"/applications/{application}/events") as reply,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        async for line in reply.aiter_lines():
            if line.startswith(":"):
                break


async def test_a_drain_ends_the_streams_in_order(door: Door) -> None:
    application = await door.accept()
    async with watched(door, application) as told:
        assert await next_status(told) == "pending"
        door.stopping.ask()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert [event async for event in told] == []
    await asyncio.wait_for(door.ended, PATIENCE_SECONDS)


async def test_the_stream_of_an_application_that_is_gone_ends(
    door: Door, applicants: Applicants, line_redis: Redis
) -> None:
    """Postgres was restored without it; a client that comes back is told that there is none."""
    application = await door.accept()
    async with watched(door, application) as told:
        assert await next_status(told) == "pending"
        await applicants.db.execute("DELETE FROM applications WHERE id = $1", UUID(application))
        await events.announce(
            line_redis, DEFAULT_PIPELINE, [(ApplicationId(UUID(application)), "scoring")]
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert [event async for event in told] == []
    reply = await door.client.get(f"/applications/{application}/events")
    assert reply.status_code == 404
