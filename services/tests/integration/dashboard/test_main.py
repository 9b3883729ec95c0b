"""The process as it is started alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import httpx2
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def start(database_url: str, redis_url: str, port: int = 0) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shortlist", "dashboard", "--host", "127.0.0.1", "--port", str(port),
        env=os.environ | {"DATABASE_URL": database_url, "REDIS_URL": redis_url},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def logged(process: asyncio.subprocess.Process, event: str) -> dict[str, object]:
    """The first log line of this event."""
    assert process.stdout is not None
    async for text in process.stdout:
        line: dict[str, object] = json.loads(text)
        if line["event"] == event:
            return line
    raise AssertionError(f"The process ended without {event}.")


@pytest.fixture
async def process(database_url: str, redis_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await start(database_url, redis_url)
    yield process
    if process.returncode is None:
        process.kill()
        await process.communicate()


async def test_it_serves_the_page_and_the_probes_and_ends_well_on_sigterm(
    process: asyncio.subprocess.Process,
) -> None:
    port = (await logged(process, "listening"))["port"]
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for path in ("/", "/healthz", "/readyz", "/metrics"):
            assert (await client.get(path)).status_code == 200, path
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        assert await process.wait() == 0


async def test_without_postgres_it_lives_and_is_not_ready(redis_url: str) -> None:
    process = await start("postgresql:///x?host=/nowhere", redis_url)
    port = (await logged(process, "listening"))["port"]
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
    process.terminate()
    await process.communicate()


async def test_a_taken_port_is_said_and_ends_it(database_url: str, redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = await start(database_url, redis_url, taken.getsockname()[1])
        line = await logged(process, "cannot_listen")
        async with asyncio.timeout(30):
            assert await process.wait() == 1
    assert "in use" in str(line["error"])
