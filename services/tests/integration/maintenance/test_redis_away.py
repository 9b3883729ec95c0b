from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.embedded.servers.valkey import EmbeddedRedis
from shortlist.storage import redis
from shortlist.storage.redis.line import Line
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from shortlist.domain.line.application import ApplicationId
    from shortlist.maintenance.main import Maintenance

    from .conftest import Shop


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    """A Redis of the test's own, which is not started yet."""
    server = EmbeddedRedis(tmp_path)
    yield server
    await asyncio.to_thread(server.stop, signal.SIGKILL)


@pytest.fixture
async def its_line(server: EmbeddedRedis) -> AsyncIterator[Line]:
    client = redis.connect(server.url, timeout_seconds=5)
    yield Line(client, DEFAULT_PIPELINE)
    await client.aclose()


async def until_published(shop: Shop, *ids: ApplicationId) -> None:
    async def published() -> bool:
        return set(await shop.in_line()) == set(ids)

    await until(published, within_seconds=60, what="newcomers are published")


async def test_what_came_while_redis_was_away_is_in_the_line_when_it_is_back(
    shop: Shop,
    start_maintenance: Callable[..., Maintenance],
    server: EmbeddedRedis,
    its_line: Line,
) -> None:
    maintenance = start_maintenance(redis_url=server.url)  # it is not even there yet
    shop.line = its_line
    newcomers = await shop.accept(5)
    (retried,) = await shop.accept(1)
    await shop.schedule(600, retried)

    async def leads() -> bool:
        return maintenance.candidate.leadership is not None

    await until(leads, within_seconds=60, what="it leads")
    await asyncio.to_thread(server.start)
    await until_published(shop, *newcomers)
    await its_line.acknowledge(await its_line.pull("a worker", 5, 0.1))
    await shop.finish(*newcomers)
    await asyncio.to_thread(server.stop, signal.SIGKILL)
    more = await shop.accept(5)
    await shop.db.execute("UPDATE retries SET due_at = now()")
    await asyncio.to_thread(server.start)  # with what it had
    await until_published(shop, *more)
    await shop.until_in_again(retried, within_seconds=60)
    assert await leads()
