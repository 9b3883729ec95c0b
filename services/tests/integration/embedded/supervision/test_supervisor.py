from __future__ import annotations

import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.embedded.scaling import machine
from shortlist.embedded.scaling.pipelines import fitted, read_pipelines
from shortlist.embedded.supervision import data_directory
from shortlist.embedded.supervision.listening import listening
from shortlist.embedded.supervision.supervisor import Supervisor
from shortlist.settings import Settings
from shortlist.storage import redis
from shortlist.storage.redis import heartbeats
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)


@asynccontextmanager
async def supervised(
    directory: Path, settings: Settings, workers: int
) -> AsyncIterator[Supervisor]:
    told: list[str] = []
    with (
        data_directory.opened(directory) as data,
        listening(settings.model_copy(update={"port": 0})) as listeners,
        socket.create_server(("127.0.0.1", 0)) as dashboard,
    ):
        read = read_pipelines([], settings)
        pipelines = {
            name: fitted(pipeline, workers, machine.read()) for name, pipeline in read.items()
        }
        supervisor = Supervisor(data, settings, pipelines, told.append)
        wanted = {DEFAULT_PIPELINE: workers}
        try:
            await supervisor.start(wanted, listeners, dashboard)
            await supervisor.start_the_rest(wanted, dashboard, None)
            yield supervisor
        finally:
            await supervisor.stop_now()


async def become(workers: int, redis_url: str) -> None:
    """Wait until so many report; the supervisor does not look, so that its policy changes none."""
    client = redis.connect(redis_url, timeout_seconds=10)

    async def look() -> bool:
        beats = await heartbeats.all_beats(client, DEFAULT_PIPELINE)
        fresh = heartbeats.STALE_AFTER_SECONDS
        return sum(time.time() - beat.at <= fresh for beat in beats) == workers

    await until(look, within_seconds=90, what=f"{workers} workers")
    await client.aclose()


async def test_workers_are_started_and_retired_while_it_runs(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    settings = Settings.model_validate({"database_url": database_url, "redis_url": redis_url})
    async with supervised(tmp_path / "data", settings, workers=1) as supervisor:
        await become(1, redis_url)
        group = supervisor.groups[DEFAULT_PIPELINE]
        group.start(2)
        await become(3, redis_url)
        for child in group.children[1:]:
            group.stop(child)
        names = {child.name for child in supervisor.children}
        assert "worker-default-3" in names, "what retires still counts"
        await become(1, redis_url)

        async def ended() -> bool:
            return {c.name for c in supervisor.children if "worker" in c.name} == {
                "worker-default-1"
            }

        await until(ended, within_seconds=60, what="the retired are gone")
        group.start(1)
        await become(2, redis_url)
        await supervisor.drain()
