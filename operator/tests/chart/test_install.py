"""What the chart counts on when it starts everything at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shortlist.storage import postgres
from shortlist.storage.postgres import migrate
from testkit.databases.servers import Servers
from testkit.processes.stack import Stack, status_of
from testkit.waiting import until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
async def test_every_process_waits_for_its_schema_and_then_is_ready(tmp_path: Path) -> None:
    servers = await Servers.start(tmp_path)
    try:
        url = await empty_database(servers.postgres.url)
        async with Stack(tmp_path, url, servers.redis.url) as stack:
            services = [
                await stack.start(role, wait=False) for role in ("ingest", "worker", "maintenance")
            ]

            async def alive() -> bool:
                return all([await status_of(f"{s.url}/healthz") == 200 for s in services])

            await until(alive, within_seconds=60, what="all are alive without a schema")
            for service in services:
                assert await status_of(f"{service.url}/readyz") == 503, service.name
            await migrate.migrate(url)
            await stack.ready()
            assert [service.deaths for service in services] == [[], [], []]
    finally:
        await servers.stop()


async def empty_database(url: str) -> str:
    connection = await postgres.connect(url, application_name="test")
    await connection.execute("CREATE DATABASE empty TEMPLATE template0")
    await connection.close()
    return url.replace("/shortlist?", "/empty?")
