"""Whatever listens for others than this machine says so aloud, in the log of each process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shortlist.cli.loading import PROCESSES
from shortlist.embedded.scaling import machine
from shortlist.embedded.scaling.machine import Machine
from testkit.processes.stack import Stack

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)


async def logs(directory: Path, database_url: str, redis_url: str, host: str) -> list[str]:
    """What each process says that listens there."""
    async with Stack(directory, database_url, redis_url, host=host) as stack:
        services = await stack.start_all(*PROCESSES)  # type: ignore[arg-type]
        return [service.log for service in services]


async def test_each_process_that_is_open_to_the_network_says_so(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    for log in await logs(tmp_path, database_url, redis_url, "0.0.0.0"):
        assert '"event": "open_to_the_network"' in log
        assert '"authentication": "none"' in log


async def test_off_switch_on_this_machine_alone_none_says_so(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    for log in await logs(tmp_path, database_url, redis_url, "127.0.0.1"):
        assert "listening" in log
        assert "open_to_the_network" not in log


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (machine.FEWEST_FILES, "takes no more than 128 connections at once"),
        (4096, "takes no more than 3968 connections at once"),
        (16_128, None),
    ],
)
def test_fewer_connections_than_wanted_are_told(files: int, said: str | None) -> None:
    found = Machine(cores=2, memory_bytes=2**40, files=files)
    assert machine.too_few_files(found) is None
    sentence = machine.few_files(found, 16_000, 128)
    assert sentence is None if said is None else said in str(sentence)
