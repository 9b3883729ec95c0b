"""Unauthenticated clients cannot have ingest killed in the chart's pod, nor make it unwell."""

from __future__ import annotations

import asyncio
import resource
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from testkit.clients import hostile
from testkit.clients.hostile import Crowd, statuses
from testkit.clients.prober import Answers, probing, reference
from testkit.processes.ingest import APPLICATION
from testkit.processes.pod import Pod, peak_bytes, pod
from testkit.processes.stack import free_port
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testkit.databases.servers import Servers
    from testkit.processes.place import Place
    from testkit.processes.stack import Service

LIMIT_BYTES = 512 << 20
MANY = 10_000
OTHER_FILES = 1_500
HEALTHY_SECONDS = 0.1
"""What an attack may add to the time within which 99 of 100 probes are answered: `runtime.probes`
has the arithmetic. What an idle process takes, asked at the same moments, is not its doing."""
HONEST = {200, 202, 400, 408, 413, 431, 503}
HOLD_SECONDS = 1.0
PROBES = 100
POSTS = 4
"""So many probes and posts are answered during an attack, at least."""
DEATH_SECONDS = 60.0
"""In which an ingest without its guards has taken more than its pod has, on a busy machine too."""


def many() -> int:
    """As many connections as this process may have, up to `MANY`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, max(soft, MANY + OTHER_FILES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return min(MANY, wanted - OTHER_FILES)


class House:
    """An ingest in a pod, and what its ordinary clients see."""

    def __init__(self, ingest: Service, its_pod: Pod, health: Answers, idle: Answers) -> None:
        self.ingest = ingest
        self.pod = its_pod
        self.url = f"{ingest.url}/applications"
        self.health = health
        self.idle = idle
        self.posts: list[int] = []
        self.application = ""

    async def post_on(self) -> None:
        """Submit, again and again, as an ordinary client."""
        while True:
            self.posts.append(await self.post())
            await asyncio.sleep(0.05)

    async def post(self) -> int:
        """The status of a submission; 0: the connection was closed first."""
        with suppress(aiohttp.ClientError):
            async with _client() as client, client.post(self.url, json=APPLICATION) as reply:
                if reply.status == 503:
                    assert int(reply.headers["Retry-After"]) >= 1
                return reply.status
        return 0

    def is_alive(self) -> bool:
        return self.ingest.alive and not self.ingest.deaths

    def stays_within(self) -> bool:
        """Whether it lives, was never killed, and took less than the pod has."""
        if not self.is_alive() or self.pod.kills():
            return False
        with suppress(OSError):  # it is no more
            return peak_bytes(self.ingest.process.pid) < self.pod.limit_bytes
        return False


def _client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))


@asynccontextmanager
async def house(place: Place, **settings: Any) -> AsyncIterator[House]:
    health = free_port()
    with pod(LIMIT_BYTES) as its_pod:
        async with place.stack() as stack:
            ingest = await stack.start(
                "ingest",
                within=its_pod,
                metrics_port=health,
                commit_timeout_seconds=1.5,
                **settings,
            )
            idle = free_port()
            async with reference(idle), probing("/healthz", health, idle) as answers:
                found = House(ingest, its_pod, *answers)
                async with _client() as client, client.post(found.url, json=APPLICATION) as reply:
                    found.application = (await reply.json())["id"]
                yield found


async def attack(
    one: House,
    what: str,
    count: int,
    raw: bytes,
    hold_seconds: float = HOLD_SECONDS,
    posts: int = POSTS,
) -> set[int]:
    """Let so many come and stay a moment; the statuses of what they were answered."""
    with Crowd(one.ingest.port) as crowd:
        got_in = await asyncio.to_thread(crowd.come, count, raw)
        await held(one, hold_seconds, posts)
        assert one.stays_within(), f"{what}: {one.ingest.tail()}"
        answers = await asyncio.to_thread(crowd.answers)
    assert got_in >= count * 0.99, what
    for answer in answers:
        assert b" 503 " not in answer[:20] or b"\r\nretry-after: " in answer, what
    return statuses(answers)


async def held(one: House, seconds: float, posts: int) -> None:
    """Wait until it has been attacked for long enough, and probed often enough, or has died."""
    ends_at = time.monotonic() + seconds

    async def is_over() -> bool:
        served = len(one.health.seconds) >= PROBES and len(one.posts) >= posts
        return (served and time.monotonic() >= ends_at) or not one.stays_within()

    await until(is_over, within_seconds=2 * DEATH_SECONDS, what=f"{PROBES} probes, {posts} posts")


def attacks(application: str, count: int) -> list[tuple[str, int, bytes]]:
    return [
        ("trailers", 1, hostile.TRAILERS),
        ("trailers", 3, hostile.TRAILERS),
        ("requests behind a stream", 6, hostile.pipelined(application)),
        ("requests behind a stream", 40, hostile.pipelined(application)),
        ("unfinished bodies", min(count, 7_500), hostile.NEARLY_ALL),
        ("tiny fields", 2_000, hostile.TINY_FIELDS),
        ("unread answers", 60, hostile.UNREAD),
        ("idle", count, b""),
        ("half a head", count, hostile.HALF_HEAD),
        ("half a body", count, hostile.HALF_BODY),
        ("watching", count, hostile.watch(application)),
        ("pipelined", count, hostile.pipelined(application, 60)),
    ]


@pytest.mark.slow
async def test_hostile_clients_in_a_small_pod(servers: Servers, own_place: Place) -> None:
    count = many()
    async with house(own_place) as one, asyncio.TaskGroup() as tasks:
        posting = tasks.create_task(one.post_on())
        try:
            for what, number, raw in attacks(one.application, count):
                assert await watched_attack(one, what, number, raw) <= HONEST, what
                assert one.posts.count(202) > len(one.posts) / 2, what
                await until(lambda: accepts(one), within_seconds=20, what=f"goes on after {what}")
            await backlog(one, servers, min(count, 4_000))
        finally:
            posting.cancel()


async def watched_attack(one: House, what: str, count: int, raw: bytes) -> set[int]:
    """Attack, and see that it stays well; the statuses of what the attackers were answered."""
    for seen in (one.health, one.idle, one.posts):
        seen.clear()
    began = time.monotonic()
    told = await attack(one, what, count, raw)
    report(what, count, time.monotonic() - began, one, told)
    assert set(one.posts) <= {0, 202, 503}, what
    assert set(one.health.statuses) == {200}, what
    added = one.health.percentile(99) - one.idle.percentile(99)
    assert added <= HEALTHY_SECONDS, what
    return told


async def backlog(one: House, servers: Servers, count: int) -> None:
    """Postgres hangs, and each attacker brings 64 KiB."""
    servers.freeze_postgres()
    try:
        told = await watched_attack(one, "backlog", count, hostile.LARGE)
    finally:
        servers.thaw_postgres()
    assert told <= {202, 503}
    await until(lambda: accepts(one), within_seconds=30, what="goes on with Postgres")


async def accepts(one: House) -> bool:
    return await one.post() == 202


def report(what: str, count: int, seconds: float, one: House, told: set[int]) -> None:
    peak = peak_bytes(one.ingest.process.pid) >> 20
    median, most = (1_000 * one.health.percentile(of) for of in (50, 99))
    usual = 1_000 * one.idle.percentile(99)
    print(  # noqa: T201 (shown with -s, and when it fails)
        f"{what} × {count}: {seconds:.1f} s, peak {peak} MiB,"
        f" {len(one.health.seconds)} × /healthz: median {median:.0f} ms,"
        f" p99 {most:.0f} ms (idle {usual:.0f}),"
        f" told {sorted(told)}, posts {len(one.posts)}, {one.posts.count(202)} accepted"
    )


@pytest.mark.parametrize(
    ("guards", "count", "raw"),
    [
        ("trailers,budget", 3, hostile.TRAILERS),
        ("budget", 7_500, hostile.NEARLY_ALL),
    ],
)
async def test_off_switch_small_pod(
    place: Place, guards: str, count: int, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a guard it takes too much, if a busy machine lets all of that arrive in time."""
    monkeypatch.setattr(hostile, "_TIMEOUT_SECONDS", DEATH_SECONDS)
    number = min(count, many())
    with pytest.raises(AssertionError, match=f"^{guards}: "):  # it did not stay within
        async with house(place, unguarded=guards, body_timeout_seconds=2 * DEATH_SECONDS) as one:
            await attack(one, guards, number, raw, DEATH_SECONDS, posts=0)
