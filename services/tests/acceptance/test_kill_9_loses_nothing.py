"""Promises 1 and 2: whatever is killed, and wherever: each 202 ends with exactly one score."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, get_args

import pytest

from shortlist.domain.line.application import ConnectionMode
from shortlist.runtime.failpoints import Failpoint
from testkit.databases.servers import flush
from testkit.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from testkit.processes.place import Place

MODES = get_args(ConnectionMode)
FAILPOINTS = [name for name in get_args(Failpoint) if not name.startswith("hiring.")]
PASSAGE = {"ingest": 3, "worker": 3, "maintenance": 1}
"""At which passage of its failpoint a process dies: in the middle of its work."""


async def killed_at(
    place: Place,
    failpoint: str,
    mode: str,
    *,
    settle_seconds: float = PATIENCE_SECONDS,
    **settings: object,
) -> None:
    """A process kills itself at a place of the path while applications come in."""
    role = failpoint.partition(".")[0]
    async with place.running(
        "worker", "maintenance", connection_mode=mode, service_seconds=0.1, concurrency=5,
        failpoints=f"{failpoint}=kill@{PASSAGE[role]}", **settings,
    ) as run:  # fmt: skip
        victim = next(service for service in run.stack.services if service.role == role)
        await run.ledger.submit(30)
        if role == "maintenance":  # it publishes only what was lost
            await flush(place.redis_url)

        async def died() -> bool:
            await run.ledger.submit(1)
            return bool(victim.deaths)

        await until(died, what=f"{role} dies at {failpoint}")
        assert victim.deaths == [-signal.SIGKILL]
        await run.ledger.submit_until_accepted(20)
        await run.ledger.settle(within_seconds=settle_seconds)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("failpoint", FAILPOINTS)
async def test_a_process_killed_at_any_point_loses_nothing_and_doubles_nothing(
    place: Place, failpoint: str, mode: str
) -> None:
    await killed_at(place, failpoint, mode)


async def test_off_switch_answering_before_the_commit_loses_applications(place: Place) -> None:
    with pytest.raises(AssertionError, match=r"^lost: "):
        await killed_at(
            place, "ingest.before_commit", "perJob", settle_seconds=5, unguarded="durable_accept"
        )


@pytest.mark.parametrize("failpoint", ["ingest.after_commit", "worker.after_pull"])
async def test_off_switch_without_the_sweep_killed_processes_leave_work_undone(
    place: Place, failpoint: str
) -> None:
    with pytest.raises(AssertionError, match=r"^unfinished: "):
        await killed_at(place, failpoint, "perJob", settle_seconds=10, unguarded="sweep")


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_that_repeats_its_key_gets_one_application_though_ingest_dies(
    place: Place, mode: str
) -> None:
    async with place.running(
        "worker", "maintenance", connection_mode=mode, service_seconds=0.05,
        failpoints="ingest.after_commit=kill@3",
    ) as run:  # fmt: skip
        for number in range(30):
            await run.ledger.insist(f"key-{number}")
        assert run.ingest.deaths == [-signal.SIGKILL]
        assert len(run.ledger.accepted) == 30
        await run.ledger.settle()
        assert await run.ledger.value("SELECT count(*) FROM applications") == 30
