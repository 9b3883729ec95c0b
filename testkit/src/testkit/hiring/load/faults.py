"""Faults that happen while clients of hiring go on: each begins, lasts, and ends."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from shortlist.storage import postgres as connections
from testkit.databases.servers import flush, terminate_backends
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from testkit.databases.servers import Servers
    from testkit.hiring.load.clients import Crowd
    from testkit.processes.stack import Service, Stack

HOUR_SECONDS = 3600
LONGER_THAN_A_LEASE_SECONDS = 8.0
OUTAGE_SECONDS = 1.0
HOLDS_SECONDS = 10.0
ANSWERED_SECONDS = 2.0
_MINUTE_SECONDS, _EACH_SECONDS = 60.0, 5.0
_ON_ITS_WAY_SECONDS = 3.0
"""Within which an answer comes that was under way when Postgres broke."""

LEADING = "shortlist_maintenance_leading"


@dataclass
class Scene:
    """What a fault may break, and what it must note."""

    stack: Stack
    servers: Servers
    crowd: Crowd
    times: bool = True
    """False: so much goes on that the machine is what answers wait for."""
    unconfirmed: list[tuple[float, float]] = field(default_factory=list)
    """From when to when Postgres may have committed something and told no client."""

    def those(self, role: str) -> list[Service]:
        """The processes of a role."""
        return [service for service in self.stack.services if service.role == role]

    async def leader(self) -> Service:
        """The maintenance that leads."""

        async def look() -> Service | None:
            leading = [one for one in self.those("maintenance") if await _leads(one)]
            return leading[0] if len(leading) == 1 else None

        found = await until(look, what="one leads")
        assert found is not None
        return found

    @asynccontextmanager
    async def postgres_breaks(self) -> AsyncIterator[None]:
        """What is under way in the block, and shortly after, may be committed and not told."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.unconfirmed.append((began, time.monotonic() + _ON_ITS_WAY_SECONDS))


async def _leads(replica: Service) -> bool:
    """Whether it says so; one that has just died, or begins, does not."""
    try:
        return bool(await replica.metric(LEADING))
    except aiohttp.ClientError:
        return False


async def a_process_dies(scene: Scene) -> None:
    """At its failpoint, which it was started with; its successor has none."""

    async def look() -> bool:
        return any(service.deaths for service in scene.stack.services)

    await until(look, what="a process dies at its failpoint")


async def the_leader_is_stopped_past_its_lease(scene: Scene) -> None:
    """It goes on when another leads."""
    frozen = await scene.leader()
    frozen.freeze()
    try:
        await asyncio.sleep(LONGER_THAN_A_LEASE_SECONDS)  # how long the fault lasts
    finally:
        frozen.thaw()


async def postgres_restarts(scene: Scene) -> None:
    """By a fast shutdown, and by a crash."""
    for how in (signal.SIGINT, signal.SIGQUIT):
        async with scene.postgres_breaks():
            await scene.servers.stop_postgres(how)
            await asyncio.sleep(OUTAGE_SECONDS)  # how long the fault lasts
            await scene.servers.start_postgres()
        await asyncio.sleep(OUTAGE_SECONDS)  # how long it is whole again


async def every_backend_is_ended_each_5_s(scene: Scene) -> None:
    """For a minute."""
    end = time.monotonic() + _MINUTE_SECONDS
    while time.monotonic() < end:
        async with scene.postgres_breaks():
            assert await terminate_backends(scene.servers.postgres.url, of="shortlist")
        await asyncio.sleep(_EACH_SECONDS)  # the period of the outages


async def anothers_lock_is_held_for_10_s(scene: Scene) -> None:
    """Who asks for that opening gets 503 within 2 s, and nothing of it is there."""
    url, opening = scene.servers.postgres.url, scene.crowd.openings[0]
    holder = await connections.connect(url, application_name="another")
    transaction = holder.transaction()
    await transaction.start()
    await holder.fetch("SELECT FROM openings WHERE id = $1 FOR UPDATE", opening)
    end = time.monotonic() + HOLDS_SECONDS
    answered = 0
    while time.monotonic() < end - ANSWERED_SECONDS:
        body = {"name": "Ada", "email": f"locked-{answered}@example.org", "jobId": opening}
        reply = await scene.crowd.call("POST", "/apply-public", body)
        assert reply.status == 503, f"the lock is another's: {reply}"
        if scene.times:
            assert reply.seconds < ANSWERED_SECONDS, f"answered after {reply.seconds:.1f} s"
        answered += 1
    there = await holder.fetchval("SELECT count(*) FROM applicants WHERE email LIKE 'locked-%'")
    assert not there, f"half done: {there} were answered 503 and are there"
    await transaction.rollback()
    await holder.close()
    assert answered >= (3 if scene.times else 1), f"{answered} were answered"


async def redis_is_away(scene: Scene) -> None:
    """And comes back with what it had."""
    await scene.servers.stop_redis()
    await asyncio.sleep(3 * OUTAGE_SECONDS)  # how long the fault lasts
    await scene.servers.start_redis()


async def redis_is_emptied(scene: Scene) -> None:
    """Three times."""
    for _ in range(3):
        await flush(scene.servers.redis.url)
        await asyncio.sleep(OUTAGE_SECONDS)  # the period of the fault


async def nothing_else(_: Scene) -> None:
    """The fault is how the processes were started."""


@dataclass(frozen=True)
class Fault:
    """A fault: what processes are started with, and what happens to them."""

    during: Callable[[Scene], Awaitable[None]] = nothing_else
    ingest: Mapping[str, Any] = field(default_factory=dict)
    maintenance: Mapping[str, Any] = field(default_factory=dict)
    hours_off: tuple[str, ...] = ()
    """Roles of which one process's clock is an hour ahead."""


FAULTS: dict[str, Fault] = {
    "ingest is killed after the lock": Fault(
        a_process_dies, ingest={"failpoints": "hiring.after_lock=kill@50"}
    ),
    "ingest is killed before the commit": Fault(
        a_process_dies, ingest={"failpoints": "hiring.before_commit=kill@50"}
    ),
    "ingest is killed after the commit": Fault(
        a_process_dies, ingest={"failpoints": "hiring.after_commit=kill@50"}
    ),
    "the leader is killed after the lock": Fault(
        a_process_dies, maintenance={"failpoints": "hiring.after_lock=kill@5"}
    ),
    "the leader is killed before the commit": Fault(
        a_process_dies, maintenance={"failpoints": "hiring.before_commit=kill@5"}
    ),
    "the leader is killed after the commit": Fault(
        a_process_dies, maintenance={"failpoints": "hiring.after_commit=kill@5"}
    ),
    "the leader is stopped past its lease": Fault(the_leader_is_stopped_past_its_lease),
    "postgres restarts": Fault(postgres_restarts),
    "every backend is ended each 5 s": Fault(every_backend_is_ended_each_5_s),
    "another's lock is held for 10 s": Fault(anothers_lock_is_held_for_10_s),
    "redis is away": Fault(redis_is_away),
    "redis is emptied": Fault(redis_is_emptied),
    "clocks are an hour off": Fault(hours_off=("ingest", "maintenance")),
}
