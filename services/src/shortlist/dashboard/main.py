"""The dashboard process: opens what it needs, serves, and ends on SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from typing import TYPE_CHECKING

import structlog

from shortlist.dashboard.app import build_app
from shortlist.dashboard.reader import Reader
from shortlist.runtime import probes
from shortlist.storage import postgres, redis
from shortlist.storage.postgres.pool import ConnectionPool
from shortlist.telemetry import logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from shortlist.settings import DashboardSettings
    from shortlist.storage.postgres import Connection

_CONNECTIONS = 2  # one to read with; another while a broken one is being closed

_log = structlog.get_logger(__name__)


async def run(settings: DashboardSettings) -> int:
    """Serve until told to stop; the exit code. A second signal stops without waiting."""
    logs.configure(settings, "dashboard")
    pool = ConnectionPool(partial(_connect, settings), _CONNECTIONS)
    client = redis.connect(settings.redis_url)
    reader = Reader(pool, client)
    readiness = partial(_readiness, reader)
    app = build_app(reader, probes.public_probe_routes(readiness, settings))
    stop = asyncio.Event()
    try:
        async with probes.serve(app, settings) as server, probes.serve_probes(readiness, settings):
            _on_signals(stop, server.abandon)
            await stop.wait()
            _log.info("stopping")
    except OSError as error:
        _log.error("cannot_listen", port=settings.port, error=str(error))
        return 1
    finally:
        await pool.close()
        await client.aclose()
    return 0


async def _connect(settings: DashboardSettings) -> Connection:
    return await postgres.connect(
        settings.read_url,
        application_name="shortlist-dashboard",
        writes=False,
    )


async def _readiness(reader: Reader) -> probes.Health:
    """Ready when Postgres answers; without Redis the page is still worth showing."""
    snapshot = await reader.snapshot()
    return probes.Health(ok=True, detail={"redis": snapshot.figures is not None})


def _on_signals(stop: asyncio.Event, abandon: Callable[[], None]) -> None:
    def received() -> None:
        if stop.is_set():
            abandon()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, received)
