"""Every process starts, cannot start, and ends alike: one bootstrap, asked through each."""

from __future__ import annotations

import json
import signal
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, get_args

import pytest

from testkit.operator.api_server import ApiServer
from testkit.operator.process import as_kopf_asks, variables
from testkit.processes.stack import Role, Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from testkit.processes.stack import Service

    Start = Callable[..., Awaitable[Service]]

pytestmark = pytest.mark.parametrize("role", get_args(Role))

TRACEBACK = "Traceback (most recent call last)"
"""As Python prints one, beside the log."""


@asynccontextmanager
async def starter(
    role: Role, directory: Path, database_url: str, redis_url: str
) -> AsyncIterator[Start]:
    """What starts a process of one role, with all that it needs around it."""
    async with AsyncExitStack() as around:
        server = await around.enter_async_context(ApiServer())
        server.arriving = as_kopf_asks
        stack = await around.enter_async_context(Stack(directory, database_url, redis_url))

        async def start(**how: Any) -> Service:
            service = await stack.start(role, variables=variables(server, directory), **how)
            service.wanted = False  # it ends by itself: that is the test
            return service

        yield start


@pytest.fixture
async def start(
    role: Role, tmp_path: Path, database_url: str, redis_url: str
) -> AsyncIterator[Start]:
    async with starter(role, tmp_path, database_url, redis_url) as start:
        yield start


def last_line(service: Service) -> dict[str, Any]:
    """The end of its log, where nothing but log lines is."""
    assert TRACEBACK not in service.log
    line: dict[str, Any] = json.loads(service.log.splitlines()[-1])
    assert line["process"] == service.role
    return line


async def test_a_taken_port_is_one_line_that_names_it(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = await start(wait=False, port=port)
        assert await service.exit_code() == 1
    line = last_line(service)
    assert (line["event"], line["host"], line["port"]) == ("cannot_listen", "127.0.0.1", port)
    assert "in use" in line["error"]


async def test_so_it_is_for_the_port_of_the_probes(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = await start(wait=False, metrics_port=port)
        assert await service.exit_code() == 1
    line = last_line(service)
    assert (line["event"], line["port"]) == ("cannot_listen", port)


async def test_a_bug_at_its_start_is_the_last_line_with_its_places(start: Start) -> None:
    service = await start(wait=False, unguarded="breaks_at_its_start")
    assert await service.exit_code() == 1
    line = last_line(service)
    assert (line["event"], line["level"]) == ("crashed", "critical")
    assert line["exception"][0]["type"] == "RuntimeError"
    assert any("guards.py" in frame for frame in line["exception"][0]["frames"])


async def test_a_setting_that_was_retired_is_said_and_sigterm_ends_it_well(start: Start) -> None:
    service = await start(sweep_interval_seconds=0.5)
    assert '"retired_setting"' in service.log
    assert "SHORTLIST_SWEEP_INTERVAL_SECONDS" in service.log
    service.signal(signal.SIGTERM)
    assert await service.exit_code() == 0
    assert TRACEBACK not in service.log


async def test_a_second_signal_ends_it_at_once(start: Start) -> None:
    service = await start()
    service.freeze()  # so that it gets both before it has done anything about the first
    service.signal(signal.SIGTERM)
    service.signal(signal.SIGINT)
    service.thaw()
    assert await service.exit_code() == 1
    assert TRACEBACK not in service.log
    assert "stopped_at_once" in service.log
