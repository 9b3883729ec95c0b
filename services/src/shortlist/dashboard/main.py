"""The dashboard process: opens what it needs, serves, and ends on SIGTERM or SIGINT."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from shortlist.dashboard.app import build_app
from shortlist.dashboard.snapshot_reader import SnapshotReader
from shortlist.runtime import http_server, probes, process
from shortlist.storage import postgres, redis
from shortlist.storage.postgres.pool import ConnectionPool

if TYPE_CHECKING:
    from shortlist.runtime.process import Stopping
    from shortlist.settings import DashboardSettings
    from shortlist.storage.postgres import Connection

CONNECTIONS = 2
"""One to read with; another while a broken one is being closed."""

_log = structlog.get_logger(__name__)


async def run(settings: DashboardSettings) -> int:
    """Serve until told to stop; the exit code."""
    return await process.run("dashboard", settings, _serve)


async def _serve(settings: DashboardSettings, stopping: Stopping) -> None:
    pool = ConnectionPool(partial(_connect, settings), CONNECTIONS)
    client = redis.connect(settings.redis_url)
    reader = SnapshotReader(pool, client)
    readiness = partial(_readiness, reader)
    app = build_app(reader, probes.public_probe_routes(readiness, settings))
    try:
        async with http_server.serve(app, settings), probes.serve_probes(readiness, settings):
            await stopping.drain.wait()
            _log.info("stopping")
    finally:
        await pool.close()
        await client.aclose()


async def _connect(settings: DashboardSettings) -> Connection:
    return await postgres.connect(
        settings.read_url,
        application_name="shortlist-dashboard",
        writes=False,
    )


async def _readiness(reader: SnapshotReader) -> probes.Health:
    """Ready when Postgres answers; without Redis the page is still worth showing."""
    snapshot = await reader.snapshot()
    return probes.Health(ok=True, detail={"redis": snapshot.figures is not None})
