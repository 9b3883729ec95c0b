"""Faults of our own processes: killed, stopped, replaced, and clocks that are set."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from testkit.faults.chaos.chaos import CLOCKS, FEWEST_WORKERS, MOST_WORKERS, worker_ids
from testkit.faults.chaos.fault import fault
from testkit.waiting import until

if TYPE_CHECKING:
    from testkit.faults.chaos.chaos import Chaos
    from testkit.processes.stack import Service

HOUR, DAY = 3_600, 86_400
STEPS_SECONDS = (HOUR, -HOUR, 100 * DAY, -100 * DAY, 0)

LONGER_THAN_A_LEASE_SECONDS = (4.0, 6.0)
"""A lease of `perWrite` is 3 s. A worker that hangs ends itself, here after 10 s."""

_HELD = """
SELECT count(*) FROM attempts t
WHERE t.worker_id = $1::text::uuid AND t.outcome IS NULL
  AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = t.application_id)
"""
_PATIENCE_SECONDS = 5.0


async def _scores_something(chaos: Chaos) -> Service:
    """Draw a worker and wait until it scores: else its fault would break nothing."""
    worker = chaos.one("worker")

    async def look() -> bool:
        ids = worker_ids(worker)
        return bool(ids and await chaos.ledger.value(_HELD, ids[-1]))

    with suppress(AssertionError):  # the model still refuses, or everything is scored
        await until(look, within_seconds=_PATIENCE_SECONDS, what="it scores")
    return worker


@fault("scores")
async def kill_a_worker(chaos: Chaos) -> str:
    worker = await _scores_something(chaos)
    chaos.kill(worker)
    return worker.name


@fault()
async def kill_ingest(chaos: Chaos) -> str:
    chaos.kill(chaos.ingest)
    return chaos.ingest.name


@fault()
async def kill_maintenance(chaos: Chaos) -> str:
    process = chaos.one("maintenance")
    chaos.kill(process)
    return process.name


@fault()
async def kill_the_dashboard(chaos: Chaos) -> str:
    chaos.kill(chaos.one("dashboard"))
    return ""


async def _freeze(process: Service, seconds: float) -> str:
    process.freeze()
    await asyncio.sleep(seconds)  # how long the fault lasts
    process.thaw()
    return f"{process.name}, {seconds:.1f} s"


@fault("scores", "time")
async def freeze_a_worker(chaos: Chaos) -> str:
    worker = await _scores_something(chaos)
    chaos.frozen.update(worker_ids(worker)[-1:])
    return await _freeze(worker, chaos.seconds(*LONGER_THAN_A_LEASE_SECONDS))


@fault("time")
async def freeze_another_process(chaos: Chaos) -> str:
    role = chaos.draw(("ingest", "maintenance", "dashboard"))
    return await _freeze(chaos.one(role), chaos.seconds())  # type: ignore[arg-type]


@fault()
async def replace_a_worker(chaos: Chaos) -> str:
    """As a rollout does: a new one comes, and an old one is asked to end."""
    old = chaos.one("worker")
    new = await chaos.start("worker")
    old.terminate()
    return f"{old.name} by {new.name}"


@fault()
async def scale_workers(chaos: Chaos) -> str:
    """Out or in; a worker that is asked to end finishes what it holds."""
    workers = chaos.those("worker")
    wanted = FEWEST_WORKERS + int(chaos.chance.random() * (MOST_WORKERS - FEWEST_WORKERS + 1))
    for _ in range(wanted - len(workers)):
        await chaos.start("worker")
    for worker in workers[wanted:]:
        worker.terminate()
    return f"from {len(workers)} to {wanted}"


@fault("time")
async def set_a_clock(chaos: Chaos) -> str:
    """It stays so until the same clock is set again."""
    whose = chaos.draw((*CLOCKS, "all"))
    ahead = chaos.draw(STEPS_SECONDS)
    for name in CLOCKS if whose == "all" else (whose,):
        chaos.clocks[name].set(ahead)
    return f"{whose} to {ahead:+d} s"


FAULTS = [
    kill_a_worker, kill_ingest, kill_maintenance, kill_the_dashboard, freeze_a_worker,
    freeze_another_process, replace_a_worker, scale_workers, set_a_clock,
]  # fmt: skip
