"""Hundreds of clients of hiring's contract, while faults happen: what must hold does, all the time.

    uv run pytest -n 0 -s -m slow services/tests/acceptance/test_hiring_under_load.py

In the middle of the load what must hold is checked again and again on one snapshot, and after it
everything that clients were answered is compared with what is there.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.hiring.audit import BrokenAuditError
from shortlist.storage import postgres as connections
from testkit.databases.urls import SERVICE, as_user
from testkit.hiring.load.audit import audit, checked_meanwhile, is_settled
from testkit.hiring.load.clients import Crowd
from testkit.hiring.load.faults import FAULTS, HOUR_SECONDS, Fault, Scene
from testkit.processes.faketime import Clock
from testkit.processes.stack import Stack
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testkit.databases.servers import Servers
    from testkit.processes.stack import Role

OPENINGS = 20
CLIENTS = 200
CLIENTS_AT_A_LOCK = 10
OPERATIONS = 10_000
OPERATIONS_OF_ONE_FAULT = 2_000

pytestmark = pytest.mark.timeout(900, func_only=True)


@asynccontextmanager
async def scene_of(
    directory: Path, servers: Servers, fault: Fault, **settings: object
) -> AsyncIterator[Scene]:
    """Two ingests, two replicas of maintenance, and a worker; one of two has the fault."""
    clock = Clock.right(directory / "hour.time")
    clock.set(HOUR_SECONDS)
    url = as_user(servers.postgres.url, SERVICE)
    stack = Stack(
        directory, url, servers.redis.url, auth="off", public_rate_limit_per_second=0,
        service_seconds=0.02, **settings,
    )  # fmt: skip
    async with stack:
        more = {"ingest": fault.ingest, "maintenance": fault.maintenance}
        roles: list[Role] = ["ingest", "maintenance"]
        for role in roles:
            off = clock.variables if role in fault.hours_off else None
            await stack.start(role, variables=off, **more[role])
            await stack.start(role)
        await stack.start("worker")
        urls = [service.url for service in stack.services if service.role == "ingest"]
        async with Crowd(*urls) as crowd:
            await crowd.open(OPENINGS)
            yield Scene(stack, servers, crowd)


async def load(scene: Scene, *faults: Fault, operations: int, clients: int = CLIENTS) -> None:
    """Do operations while faults happen, one after the other; then all that was answered is so."""

    url, crowd = scene.servers.postgres.url, scene.crowd
    async with checked_meanwhile(url) as looks:

        async def checked() -> bool:
            return bool(looks.total())

        async def happen() -> None:
            for fault in faults:
                await fault.during(scene)
            # The load goes on until a check was whole, which takes seconds of a busy machine.
            await until(checked, what="a check in the middle of the load", within_seconds=120)

        happening = asyncio.create_task(happen())
        await crowd.work(operations, clients=clients, beside=happening)
        await happening
    books = crowd.books
    print(dict(books.answers), f"{books.slowest_seconds:.1f} s the slowest,", dict(looks))  # noqa: T201 (for whoever runs it with -s)
    assert looks["whole"], "what must hold was not checked in the middle"
    await is_settled(url)
    await audit(url, crowd.books, unconfirmed=scene.unconfirmed)


LOCKED = "another's lock is held for 10 s"
"""Its answers are timed: fewer clients, so that the machine is not what they wait for."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.quiet] * (n == LOCKED)) for n in FAULTS]
)
async def test_each_fault_breaks_nothing_that_must_hold(
    tmp_path: Path, servers: Servers, name: str
) -> None:
    fault = FAULTS[name]
    settings = {"commit_timeout_seconds": 1.5} if name == LOCKED else {}  # the default
    async with scene_of(tmp_path, servers, fault, **settings) as scene:
        clients = CLIENTS_AT_A_LOCK if name == LOCKED else CLIENTS
        await load(scene, fault, operations=OPERATIONS_OF_ONE_FAULT, clients=clients)


@pytest.mark.slow
async def test_ten_thousand_operations_while_all_faults_happen(
    tmp_path: Path, servers: Servers
) -> None:
    begins_with = Fault(
        ingest={"failpoints": "hiring.after_commit=kill@100"},
        maintenance={"failpoints": "hiring.before_commit=kill@10"},
        hours_off=("ingest", "maintenance"),
    )
    async with scene_of(tmp_path, servers, begins_with) as scene:
        scene.times = False
        await load(scene, *FAULTS.values(), operations=OPERATIONS)


async def test_off_switch_without_the_lock_of_an_opening_load_breaks_what_must_hold(
    tmp_path: Path, servers: Servers
) -> None:
    without_backstops = """
    ALTER TABLE opening_events DROP CONSTRAINT opening_events_pkey;
    DROP INDEX placements_live;
    """
    async with scene_of(tmp_path, servers, Fault(), unguarded="opening_lock") as scene:
        owner = await connections.connect(servers.postgres.url, application_name="test")
        await owner.execute(without_backstops)
        await owner.close()
        with pytest.raises((AssertionError, BrokenAuditError)):
            await load(scene, operations=OPERATIONS_OF_ONE_FAULT)
