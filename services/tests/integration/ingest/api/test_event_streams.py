"""``GET /api/events``: each event once, in order, whichever process committed it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from shortlist.ingest.api import event_feed
from testkit.clients.hiring import HiringClient
from testkit.processes.ingest import NO_REDIS, open_door
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testkit.processes.ingest import Door

PATIENCE_SECONDS = 30


@asynccontextmanager
async def followed(door: Door, query: str, last: int | None = None) -> AsyncIterator[Any]:
    """The events of one follower, as they come: (id, event)."""
    headers = {} if last is None else {"last-event-id": str(last)}
    async with door.client.stream("GET", f"/api/events?{query}", headers=headers) as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = reply.aiter_lines()
        assert (await anext(lines)).startswith("retry: ")
        yield events_of(lines)


async def events_of(lines: AsyncIterator[str]) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    number = 0
    async for line in lines:
        if line.startswith("id: "):
            number = int(line.removeprefix("id: "))
        if line.startswith("data: "):
            yield number, json.loads(line.removeprefix("data: "))


async def take(told: Any, count: int) -> list[tuple[int, dict[str, Any]]]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [await anext(told) for _ in range(count)]


async def until_followed(door: Door, by: int) -> None:
    async def is_followed() -> bool:
        hiring = await door.ingest.hiring.hiring()
        return hiring.feed.followers == by

    await until(is_followed, within_seconds=PATIENCE_SECONDS, what="it is followed")


async def test_an_opening_is_followed_by_its_sequence(open_api: Door, hiring: HiringClient) -> None:
    job, _ = await hiring.fill(1, 2)
    async with followed(open_api, f"jobId={job}") as told:
        await until_followed(open_api, 1)
        ada = await hiring.register("Ada")
        result = await hiring.apply(ada["id"], job)
        ((number, event),) = await take(told, 1)
        assert (event["eventType"], event["applicationId"]) == ("APPLIED", result["applicationId"])
        # OPENED, and two who had applied before.
        assert number == event["sequence"] == 4
    await until_followed(open_api, 0)


async def test_who_comes_back_is_told_what_was_missed(open_api: Door, hiring: HiringClient) -> None:
    job, results = await hiring.fill(1, 3)
    async with followed(open_api, f"jobId={job}", last=1) as told:
        missed = await take(told, 3)
        assert [number for number, _ in missed] == [2, 3, 4]
        await hiring.withdraw(results[0]["applicationId"])
        assert [number for number, _ in await take(told, 2)] == [5, 6]
    async with followed(
        open_api, f"jobId={job}", last=10**9
    ) as told:  # a database that was restored
        await until_followed(open_api, 1)
        await hiring.withdraw(results[2]["applicationId"])
        assert [number for number, _ in await take(told, 1)] == [7]


async def test_an_applicant_is_followed_over_all_applications(
    open_api: Door, hiring: HiringClient
) -> None:
    ada = (await hiring.register("Ada"))["id"]
    jobs = [(await hiring.open(1))["id"] for _ in range(3)]
    first = await hiring.apply(ada, jobs[0])
    async with followed(open_api, f"applicantId={ada}") as told:
        await until_followed(open_api, 1)
        await hiring.apply(ada, jobs[1])
        await hiring.withdraw(first["applicationId"])
        await hiring.apply(ada, jobs[2])
        events = await take(told, 3)
        assert [event["eventType"] for _, event in events] == ["APPLIED", "WITHDRAWN", "APPLIED"]
        assert [event["metadata"]["jobId"] for _, event in events] == [jobs[1], jobs[0], jobs[2]]
        assert all(number == event["id"] for number, event in events)
    timeline = await hiring.timeline(ada)
    async with followed(open_api, f"applicantId={ada}", last=timeline[0]["id"]) as told:
        assert [number for number, _ in await take(told, 3)] == [e["id"] for e in timeline[1:]]


@pytest.mark.parametrize("redis", ["there", "away"])
async def test_what_another_process_commits_is_told(
    database_url: str, redis_url: str, redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if redis == "there":  # then nothing waits for the next look
        monkeypatch.setattr(event_feed, "_POLL_SECONDS", 3_600.0)
    opening = partial(open_door, database_url, NO_REDIS if redis == "away" else redis_url)
    async with opening(auth="off") as one, opening(auth="off") as other:
        hiring = HiringClient(other.client)
        job, _ = await hiring.fill(1, 1)
        async with followed(one, f"jobId={job}") as told:
            await until_followed(one, 1)
            if redis == "there":
                await until(
                    lambda: _is_subscribed(one), within_seconds=PATIENCE_SECONDS, what="it listens"
                )
            await hiring.apply((await hiring.register("Ada"))["id"], job)
            assert [number for number, _ in await take(told, 1)] == [3]


async def _is_subscribed(door: Door) -> bool:
    announcements = door.ingest.announcements
    return announcements.connected and not announcements._wanted


async def test_many_followers_are_one_look(
    open_api: Door, hiring: HiringClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _ = await hiring.fill(1, 1)
    feed = (await open_api.ingest.hiring.hiring()).feed
    read, reads = feed._read, []

    async def counted(topic: Any, after: int) -> Any:
        reads.append(topic)
        return await read(topic, after)

    async def follow() -> int:
        async with followed(open_api, f"jobId={job}") as told:
            return (await take(told, 1))[0][0]

    following = [asyncio.create_task(follow()) for _ in range(50)]
    await until_followed(open_api, 50)
    await asyncio.sleep(2 * event_feed._POLL_SECONDS)  # each has read what it missed: nothing
    monkeypatch.setattr(feed, "_read", counted)
    await hiring.apply((await hiring.register("Ada"))["id"], job)
    assert await asyncio.gather(*following) == [3] * 50
    assert len(reads) <= 2


async def test_a_follower_is_told_now_and_then_that_the_stream_lives(
    open_api: Door, hiring: HiringClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "_HEARTBEAT_SECONDS", 0.1)
    job, _ = await hiring.fill(1, 1)
    async with (
        open_api.client.stream("GET", f"/api/events?jobId={job}") as reply,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        async for line in reply.aiter_lines():
            if line.startswith(":"):
                break


async def test_a_drain_ends_the_streams_in_order(open_api: Door, hiring: HiringClient) -> None:
    job, _ = await hiring.fill(1, 1)
    async with followed(open_api, f"jobId={job}") as told:
        await until_followed(open_api, 1)
        open_api.stopping.ask()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert [event async for event in told] == []
    await asyncio.wait_for(open_api.ended, PATIENCE_SECONDS)


async def test_head_of_a_stream_ends_with_its_head(open_api: Door, hiring: HiringClient) -> None:
    job = await hiring.open(1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        reply = await open_api.client.head(f"/api/events?jobId={job['id']}")
    assert (reply.status_code, reply.content) == (200, b"")
    await until_followed(open_api, 0)


async def test_what_is_not_there_is_not_followed(open_api: Door, hiring: HiringClient) -> None:
    await hiring.open(1)
    for query in ("jobId=9999", "applicantId=9999", "jobId=0"):
        assert (await open_api.client.get(f"/api/events?{query}")).status_code == 404
