from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testkit.processes.ingest import APPLICATION, NO_REDIS, open_door
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    import httpx2

    from shortlist.storage.postgres import Connection
    from shortlist.storage.redis import Redis
    from testkit.processes.ingest import Door

    Opener = Callable[..., AbstractAsyncContextManager[Door]]
    SetCapacity = Callable[[int], Awaitable[None]]

QUOTA = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")


def quota(reply: httpx2.Response) -> tuple[int, ...]:
    return tuple(int(reply.headers[name]) for name in QUOTA)


async def post(door: Door, path: str = "/applications") -> httpx2.Response:
    return await door.client.post(path, json=APPLICATION)


async def fill(door: Door, capacity: int) -> None:
    """Twice as many as there are places."""
    replies = [await post(door) for _ in range(2 * capacity)]
    assert [r.status_code for r in replies] == [202] * capacity + [429] * capacity
    assert [quota(r)[:2] for r in replies[:capacity]] == [
        (capacity, capacity - n) for n in range(1, capacity + 1)
    ]
    for refused in replies[capacity:]:
        assert refused.json()["error"]["code"] == "RATE_LIMITED"
        assert int(refused.headers["retry-after"]) >= 1
        assert quota(refused)[:2] == (capacity, 0)


async def test_a_full_line_is_429_for_applications_and_jobs(
    opening: Opener, set_capacity: SetCapacity, db: Connection
) -> None:
    await set_capacity(5)
    async with opening() as door:
        await fill(door, 5)
        assert (await post(door, "/job")).status_code == 429
        assert await db.fetchval("SELECT count(*) FROM applications") == 5


async def test_a_line_that_empties_is_open_again(
    opening: Opener, set_capacity: SetCapacity, line_redis: Redis
) -> None:
    await set_capacity(5)
    async with opening() as door:
        await fill(door, 5)
        await line_redis.delete("sl:{default}:line")

        async def accepted() -> bool:
            return (await post(door)).status_code == 202

        await until(accepted, within_seconds=20, what="the line is open again")


async def test_a_line_is_full_also_while_redis_is_away_and_after_a_restart(
    database_url: str, set_capacity: SetCapacity
) -> None:
    await set_capacity(5)
    async with open_door(database_url, NO_REDIS) as door:
        await fill(door, 5)
    async with open_door(database_url, NO_REDIS) as door:
        assert (await post(door)).status_code == 429


async def test_two_processes_share_the_places_also_while_redis_is_away(
    database_url: str, set_capacity: SetCapacity, db: Connection
) -> None:
    await set_capacity(5)
    async with open_door(database_url, NO_REDIS) as one, open_door(database_url, NO_REDIS) as other:
        await fill(one, 5)

        async def refused() -> bool:
            return (await post(other)).status_code == 429

        await until(refused, within_seconds=20, what="the other one knows")
        # The other one looks once a second: until then it could have taken its own five.
        assert await db.fetchval("SELECT count(*) FROM applications") <= 10


async def test_a_larger_capacity_counts_soon(opening: Opener, set_capacity: SetCapacity) -> None:
    await set_capacity(1)
    async with opening() as door:
        await fill(door, 1)
        await set_capacity(1_000)

        async def accepted() -> bool:
            return (await post(door)).status_code == 202

        await until(accepted, within_seconds=20, what="the capacity counts")


@pytest.mark.parametrize("path", ["/applications", "/job"])
@pytest.mark.parametrize("content", [b"", b"{", b'{"payload": ""}', b"x" * 100_000])
async def test_a_refused_submission_tells_the_room_in_the_line(
    door: Door, path: str, content: bytes
) -> None:
    reply = await door.client.post(path, content=content)
    assert 400 <= reply.status_code < 500
    assert quota(reply)[:2] == (100_000, 100_000)


async def test_a_client_that_calls_too_often_is_429_whatever_it_calls(opening: Opener) -> None:
    async with opening(rate_limit_per_second=0.01, rate_limit_burst=4) as door:
        replies = [
            await post(door),
            await door.client.get("/leaderboard"),
            await door.client.get("/applications/1"),
            await door.client.head("/applications/1"),
        ]
        assert [r.status_code for r in replies] == [202, 200, 404, 404]
        assert [quota(r)[:2] for r in replies] == [(4, n) for n in (3, 2, 1, 0)]
        assert all(0 < quota(r)[2] <= 400 for r in replies)
        for refused in (await post(door), await door.client.get("/status/1")):
            assert refused.status_code == 429
            assert 90 <= int(refused.headers["retry-after"]) <= 100
            assert quota(refused)[:2] == (4, 0)
        assert (await door.client.get("/healthz")).status_code == 200


async def test_clients_behind_a_proxy_are_told_apart_by_what_the_proxy_says(
    opening: Opener,
) -> None:
    async with opening(
        rate_limit_per_second=0.01, rate_limit_burst=1, trust_forwarded_for=True
    ) as door:

        async def status(forwarded_for: str) -> int:
            headers = {"X-Forwarded-For": forwarded_for}
            return (await door.client.get("/leaderboard", headers=headers)).status_code

        assert await status("10.0.0.1") == 200
        assert await status("10.0.0.2") == 200
        assert await status("1.2.3.4, 10.0.0.1") == 429  # what the client claims does not count


async def test_without_a_proxy_the_header_counts_for_nothing(opening: Opener) -> None:
    async with opening(rate_limit_per_second=0.01, rate_limit_burst=1) as door:
        first = await door.client.get("/leaderboard", headers={"X-Forwarded-For": "10.0.0.1"})
        second = await door.client.get("/leaderboard", headers={"X-Forwarded-For": "10.0.0.2"})
        assert (first.status_code, second.status_code) == (200, 429)
