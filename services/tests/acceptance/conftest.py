"""Promises 1 to 5 of the design, kept by real processes and servers while a test breaks them.

A test that breaks a server starts its own; the others share the session's. Each check is a
function that is also run with its guard turned off, and must then fail. That takes as long as the
check waits for what does not come, and so these are among the slow tests.
"""

from __future__ import annotations

import fcntl
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testkit.databases.servers import Servers
from testkit.databases.urls import SERVICE, as_user
from testkit.processes.place import Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Off-switches are slow; and no test's time runs while it waits for the machine."""
    here = Path(__file__).parent
    for item in items:
        if here not in item.path.parents:
            continue
        if item.name.startswith("test_off_switch"):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300, func_only=True))


@pytest.fixture(autouse=True)
def _share_of_the_machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Tests marked ``quiet`` measure times in seconds: no other acceptance test runs meanwhile.

    Every test passes the gate; a quiet test stays in it while it waits for the others to end.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(request.config, "workerinput") else base
    quiet = request.node.get_closest_marker("quiet") is not None
    with ExitStack() as files:
        gate, machine = (files.enter_context((shared / n).open("w")) for n in ("gate", "machine"))
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if quiet else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


@pytest.fixture
def place(tmp_path: Path, database_url: str, redis_url: str) -> Place:
    """The session's servers, with an empty database and an empty Redis."""
    return Place(tmp_path, database_url, redis_url, as_user(database_url, SERVICE))


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    """Servers that this test may break."""
    servers = await Servers.start(tmp_path)
    yield servers
    await servers.stop()


@pytest.fixture
def own_place(tmp_path: Path, servers: Servers) -> Place:
    """The servers that this test may break, as a place."""
    url = servers.postgres.url
    return Place(tmp_path, url, servers.redis.url, as_user(url, SERVICE))
