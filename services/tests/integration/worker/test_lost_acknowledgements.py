"""An acknowledgement that Redis refused is made later, while the worker lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testkit.faults.unguarding import without
from testkit.processes.bench import Bench
from testkit.proxies.redis import RedisProxy
from testkit.waiting import until

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection
    from shortlist.storage.redis import Redis

pytestmark = pytest.mark.usefixtures("logs_as_a_process")

OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'."


async def the_line_forgets_what_is_done(
    db: Connection, line_redis: Redis, database_url: str, redis_url: str
) -> None:
    async with RedisProxy(redis_url) as proxy:
        bench = Bench(db, line_redis, database_url, proxy.url)

        async def is_empty() -> bool:
            return (await bench.line.depth()).total == 0

        async with bench.worker():
            with proxy.refusing("XACK", OUT_OF_MEMORY) as refusal:
                ids = await bench.submit(5)
                await bench.until_final(ids)

                async def is_refused() -> bool:
                    return refusal.said > 0

                await until(is_refused, what="an acknowledgement is refused")
            await until(is_empty, within_seconds=5, what="the line is empty")
        views = [await bench.view(one) for one in ids]
        assert {(view.status, view.attempts) for view in views} == {("scored", 1)}


async def test_what_is_done_leaves_the_line_though_redis_refused_to_forget_it(
    db: Connection, line_redis: Redis, database_url: str, redis_url: str
) -> None:
    await the_line_forgets_what_is_done(db, line_redis, database_url, redis_url)


async def test_off_switch_a_refused_acknowledgement_that_is_dropped_stays_on_the_line(
    db: Connection, line_redis: Redis, database_url: str, redis_url: str
) -> None:
    with without("lost_acknowledgements"), pytest.raises(AssertionError, match="line is empty"):
        await the_line_forgets_what_is_done(db, line_redis, database_url, redis_url)
