"""Redis answers all commands of all processes with each error: none ends, nothing is wasted."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, get_args

import pytest

from shortlist.domain.line.application import ConnectionMode
from shortlist.storage.redis import connect
from testkit.faults.redis_errors import AT_ONCE, ROWS, Row
from testkit.processes.place import Place
from testkit.proxies.redis import ERRORS, RedisProxy
from testkit.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from shortlist.storage.redis import Redis
    from testkit.processes.place import Running

pytestmark = pytest.mark.slow

KINDS = ("READONLY", "OOM", "NOPERM", "WRONGTYPE")
"""A kind each: what is refused by itself goes the same way as all that is refused at once."""

WASTED = "SELECT count(*) FROM attempts WHERE attempt > 1 OR outcome IS NOT NULL"


IN_FLIGHT = """
    SELECT EXISTS (SELECT FROM attempts t WHERE claimed_at > clock_timestamp() - interval '0.25 s'
        AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = t.application_id))
"""
"""Half of a score's time is left, so that it ends, and is acknowledged, in what comes now."""


async def until_it_scores(run: Running) -> None:
    """All goes on when an error ends; and something is in flight when the next one begins."""
    before = await run.ledger.scored()
    await run.ledger.until_scored(before + 3, within_seconds=20)
    in_flight = partial(run.ledger.value, IN_FLIGHT)
    await until(in_flight, within_seconds=20, what="something is in flight", poll_seconds=0.01)


async def refused_at_once(proxy: RedisProxy, error: str) -> None:
    """Answer everything with an error until each process has met it at its steps."""
    word = error.partition(" ")[0]

    async def is_met(command: str) -> bool:
        return proxy.refused[command, word] > 0

    with proxy.refusing("*", error):
        for step, command in AT_ONCE.items():
            met = partial(is_met, command)
            await until(met, within_seconds=20, what=f"{word} is met at {step}")


async def refused_at(row: Row, proxy: RedisProxy, error: str, run: Running, redis: Redis) -> None:
    """Answer one step with an error until it is met."""
    met = row.met_as, error.partition(" ")[0]
    before = proxy.refused[met]

    async def is_met() -> bool:
        return proxy.refused[met] > before

    with proxy.refusing(row.refuse, error):
        await row.provoke(run, redis)
        await until(is_met, within_seconds=20, what=f"{met} is met at {row.step}")


async def every_error_at_every_step(
    directory: Path, database_url: str, redis_url: str, mode: str, *, unguarded: str = ""
) -> None:
    async with RedisProxy(redis_url) as proxy, connect(redis_url) as redis:
        place = Place(directory, database_url, proxy.url)
        async with place.running(
            "maintenance", connection_mode=mode, service_seconds=0.5, concurrency=8,
            requests_per_minute=6000, unguarded="sweeps_often",
        ) as run:  # fmt: skip
            worker = await run.stack.start("worker", unguarded=unguarded)
            await run.ledger.submit_until_accepted(1)
            async with run.ledger.load(per_second=10):
                for error in ERRORS:
                    await until_it_scores(run)
                    await refused_at_once(proxy, error)
                for row, error in product(ROWS, (e for e in ERRORS if e.startswith(KINDS))):
                    await refused_at(row, proxy, error, run, redis)
                await until_it_scores(run)
            await run.ledger.settle(within_seconds=30)
            assert await run.ledger.value(WASTED) == 0
            assert run.ledger.answers.keys() == {202}
            assert not any(service.deaths for service in run.stack.services)
            assert "redis_refuses_everyone" in worker.log


@pytest.mark.parametrize("mode", get_args(ConnectionMode))
async def test_every_redis_error_at_every_step(
    tmp_path: Path, database_url: str, redis_url: str, mode: str
) -> None:
    await every_error_at_every_step(tmp_path, database_url, redis_url, mode)


async def test_off_switch_a_worker_that_raises_what_redis_says_ends(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    async with asyncio.timeout(120):
        with pytest.raises(AssertionError):
            await every_error_at_every_step(
                tmp_path, database_url, redis_url, "perWrite", unguarded="trouble_is_survived"
            )
