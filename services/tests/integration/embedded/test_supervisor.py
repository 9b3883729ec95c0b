from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.application import DEFAULT_PIPELINE
from shortlist.embedded import datadir
from shortlist.embedded.pipelines import fitted, read_pipelines
from shortlist.embedded.supervisor import Supervisor
from shortlist.settings import Settings
from support.waiting import until

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
        datadir.opened(directory) as data,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_server(("127.0.0.1", 0)) as dashboard,
    ):
        read = read_pipelines([], settings)
        pipelines = {name: fitted(pipeline, workers) for name, pipeline in read.items()}
        supervisor = Supervisor(data, settings, pipelines, told.append)
        wanted = {DEFAULT_PIPELINE: workers}
        try:
            await supervisor.start(wanted, listener, dashboard)
            await supervisor.start_the_rest(wanted, dashboard, None)
            yield supervisor
        finally:
            await supervisor.stop_now()


async def live_workers(supervisor: Supervisor) -> int:
    view = await supervisor.look()
    return sum(pipeline.workers for pipeline in view.pipelines)


async def become(supervisor: Supervisor, workers: int) -> None:
    async def look() -> bool:
        await asyncio.sleep(0.3)
        return await live_workers(supervisor) == workers

    await until(look, within_seconds=90, what=f"{workers} workers")


async def test_workers_are_started_and_retired_while_it_runs(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    settings = Settings.model_validate({"database_url": database_url, "redis_url": redis_url})
    async with supervised(tmp_path / "data", settings, workers=1) as supervisor:
        await become(supervisor, 1)
        crew = supervisor.crews[DEFAULT_PIPELINE]
        crew.hire(2)
        await become(supervisor, 3)
        for child in crew.children[1:]:
            crew.retire(child)
        names = {child.name for child in supervisor.children}
        assert "worker-default-3" in names, "what retires still counts"
        await become(supervisor, 1)

        async def ended() -> bool:
            return {c.name for c in supervisor.children if "worker" in c.name} == {
                "worker-default-1"
            }

        await until(ended, within_seconds=60, what="the retired are gone")
        crew.hire(1)
        await become(supervisor, 2)
        await supervisor.drain()
