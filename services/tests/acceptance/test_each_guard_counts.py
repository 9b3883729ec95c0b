"""Each place that asks whose trouble an error is would break without asking: one at a time.

A server refuses one step a few times. With the guards on nothing breaks. Without the guard of that
step alone, something does: a task or a process ends, or a score is wasted.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from testkit.faults import steps
from testkit.faults.sqlstates import depose, nothing
from testkit.processes.place import Place
from testkit.proxies.postgres import PostgresProxy
from testkit.proxies.redis import RedisProxy
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

    from testkit.processes.place import Running

pytestmark = pytest.mark.slow

TEXTS = steps.postgres_steps()
DISK_FULL, OUT_OF_MEMORY = "53100", "OOM command not allowed when used memory > 'maxmemory'."
WASTED = "SELECT count(*) FROM attempts WHERE attempt > 1 OR outcome IS NOT NULL"
BROKEN = ("runner_failed", "attempt_broke", "lead_failed", "never retrieved")
"""What a process says when an error went further than it should."""


@dataclass(frozen=True)
class Guarded:
    """A step, and the guard without which it breaks."""

    guard: str
    postgres: str = ""
    redis: str = ""
    begin: Callable[[Running], Awaitable[None]] = nothing
    says: str = ""
    """What a process logs when the guard holds: for what else would show when memory is tidied."""


PLACES = {
    "claim": Guarded("once_at claiming", postgres="claims.claim"),
    "complete": Guarded("once_at completing", postgres="claims.complete"),
    "renew": Guarded("ends_with staying enrolled", postgres="workers.renew"),
    "sweep": Guarded("ends_with maintaining: sweep", postgres="recovery.unfinished"),
    "retries": Guarded("ends_with maintaining: retries", postgres="retries.next_due"),
    "rescue": Guarded("ends_with maintaining: dead workers", postgres="workers.dead"),
    "stand for leader": Guarded(
        "ends_with standing for leader", postgres="leases.running", begin=depose
    ),
    "lead": Guarded("ends_with renewing the lease", postgres="leases.renew"),
    "publish": Guarded("ends_with publishing", redis="INCRBY", says="publish_failed"),
    "pull": Guarded("ends_with pulling", redis="XREADGROUP"),
    "beat": Guarded("ends_with beating", redis="HSET"),
}
"""At an attempt's end a scorer must fail: see `integration/worker/test_refused_writes.py`."""


@dataclass(frozen=True)
class Refusing:
    """Processes behind two proxies."""

    run: Running
    postgres: PostgresProxy
    redis: RedisProxy

    async def refuse(self, place: Guarded) -> None:
        """Refuse the step of a place twice (Postgres), or for as long as it takes (Redis)."""
        if place.postgres:
            text = TEXTS[place.postgres]
            with self.postgres.refusing(text, DISK_FULL, times=2) as refusal:
                await self._met(place, lambda: refusal.is_over)
        else:
            with self.redis.refusing(place.redis, OUT_OF_MEMORY) as refusal_of_redis:
                await self._met(place, lambda: refusal_of_redis.said > 0)

    async def _met(self, place: Guarded, is_met: Callable[[], bool]) -> None:
        await place.begin(self.run)

        async def met() -> bool:
            await self.run.ledger.post()
            return is_met() or bool(self.broken())

        await until(met, within_seconds=30, what=f"{place} is refused")

    def broken(self) -> list[str]:
        """What went further than it should, in any process."""
        services = self.run.stack.services
        said = [f"{s.name}: {word}" for s in services for word in BROKEN if word in s.log]
        return said + [f"{s.name} died" for s in services if s.deaths or not s.alive]

    async def assert_nothing_broke(self, places: Iterable[Guarded]) -> None:
        """All is scored at the first attempt, by the processes that were started."""
        assert self.broken() == []
        logs = [service.log for service in self.run.stack.services]
        assert all(any(place.says in log for log in logs) for place in places)
        await self.run.ledger.settle(within_seconds=30)
        assert await self.run.ledger.value(WASTED) == 0
        assert self.broken() == []


@asynccontextmanager
async def refusing(
    directory: Path, database_url: str, redis_url: str, unguarded: str = ""
) -> AsyncIterator[Refusing]:
    async with PostgresProxy(database_url) as postgres, RedisProxy(redis_url) as redis:
        place = Place(directory, postgres.url, redis.url)
        async with place.running(
            "maintenance", "worker", connection_mode="perWrite", service_seconds=0.1,
            concurrency=8, unguarded=",".join(filter(None, ["sweeps_often", unguarded])),
        ) as run:  # fmt: skip
            run.stack.expected_deaths |= {1} if unguarded else set()
            await run.ledger.submit_until_accepted(1)
            yield Refusing(run, postgres, redis)


async def test_a_server_that_refuses_breaks_nothing_at_any_place(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    async with refusing(tmp_path, database_url, redis_url) as processes:
        for place in PLACES.values():
            await processes.refuse(place)
        await processes.assert_nothing_broke(PLACES.values())


@pytest.mark.parametrize("name", PLACES)
async def test_off_switch_without_its_guard_each_place_breaks(
    tmp_path: Path, database_url: str, redis_url: str, name: str
) -> None:
    place = PLACES[name]
    async with refusing(tmp_path, database_url, redis_url, place.guard) as processes:
        await processes.refuse(place)
        with pytest.raises(AssertionError):
            await processes.assert_nothing_broke([place])
