"""``shortlist simulate`` against real processes: the clients of wire contract 2, unchanged."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testkit.processes.place import Place


async def simulate(url: str, *options: str) -> tuple[int | None, str]:
    """Its exit code, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shortlist", "simulate", "--url", url, *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_all_jobs_of_all_clients_are_completed(place: Place) -> None:
    async with place.running("worker", "maintenance", service_seconds=0.05) as run:
        code, told = await simulate(run.ingest.url, "--clients", "20", "--rounds", "2")
        jobs = await run.ledger.value("SELECT count(*) FROM results WHERE status = 'scored'")
    assert code == 0, told
    assert "120 completed, 0 failed, 0 lost, 0 still waiting" in told
    assert "POST /job → 202: 120" in told
    assert jobs == 120


async def test_a_worker_that_is_killed_under_them_loses_no_job(place: Place) -> None:
    async with place.running("worker", "maintenance", service_seconds=0.5) as run:
        playing = asyncio.create_task(simulate(run.ingest.url, "--clients", "10", "--rounds", "2"))
        for _ in range(3):
            await asyncio.sleep(2)
            run.others[0].kill()
        code, told = await playing
    assert code == 0, told
    assert "60 completed, 0 failed, 0 lost" in told
