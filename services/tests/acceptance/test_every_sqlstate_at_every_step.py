"""Postgres refuses each step with each SQLSTATE, in both modes: nothing is lost or wasted.

The proxy has the server raise them in turn at one step, or a group of steps, while applications are
posted. Reads of maintenance and of ingest have a group of their own, as none of them holds a score.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, get_args

import pytest

from shortlist.domain.line.application import ConnectionMode
from support.place import Place
from support.postgres_proxy import EVERYONES, SERVERS, PostgresProxy
from support.stack import status_of
from support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from support.place import Running

pytestmark = pytest.mark.slow

ITEMS_AND_BUGS = ("22021", "22P05", "23505", "23514", "54000", "P0001")

MAINTENANCE_MEETS = ("25006", "53100", "57P01", "42501")
"""A kind each: it takes a turn of an agent to meet one, and all go the same way."""

SCORING_STEPS = ("accept", "claim", "complete")
READS_OF_MAINTENANCE = (
    "unfinished", "next_retry", "dead_workers", "renew_lease", "assert_lease",
    "SELECT id FROM applications ORDER BY id DESC LIMIT 1", "SELECT name, swept_to FROM pipelines",
)  # fmt: skip
READS_OF_INGEST = ("views", "SELECT name, line_capacity FROM pipelines", "SELECT version_num FROM")

WASTED = "SELECT count(*) FROM attempts WHERE attempt > 1 OR outcome IS NOT NULL"
SCORING = """
    SELECT count(*) FROM attempts t WHERE outcome IS NULL
    AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = t.application_id)
"""


async def raised_at(
    run: Running, proxy: PostgresProxy, steps: tuple[str, ...], states: tuple[str, ...]
) -> None:
    """Have each state raised at each of some steps, while applications are posted and read."""
    with ExitStack() as stack:
        refusals = [
            stack.enter_context(proxy.refusing(step, *states, times=len(states))) for step in steps
        ]

        async def all_raised() -> bool:
            await run.ledger.post()
            await status_of(f"{run.ingest.url}/readyz")
            newest = next(reversed(run.ledger.accepted), None)
            await status_of(f"{run.ingest.url}/applications/{newest}")
            return all(refusal.is_over for refusal in refusals)

        await until(all_raised, within_seconds=30, what=f"{states} are raised at {steps}")


async def every_state_at_every_step(
    directory: Path, database_url: str, redis_url: str, mode: str, *, unguarded: str = ""
) -> None:
    states = (*SERVERS, *EVERYONES)
    async with PostgresProxy(database_url) as proxy:
        place = Place(directory, proxy.url, redis_url)
        async with place.running(
            "maintenance", connection_mode=mode, service_seconds=0.2, concurrency=8,
            commit_timeout_seconds=1.5, sweep_interval_seconds=0.3,
        ) as run:  # fmt: skip
            await run.stack.start("worker", unguarded=unguarded)
            await run.ledger.submit_until_accepted(1)
            async with run.ledger.load(per_second=10):
                for step in SCORING_STEPS:
                    await raised_at(run, proxy, (step,), states)
                await raised_at(run, proxy, READS_OF_INGEST, states)
                await raised_at(run, proxy, READS_OF_MAINTENANCE, MAINTENANCE_MEETS)
            await run.ledger.settle(within_seconds=30)
            assert await run.ledger.value(WASTED) == 0
            await assert_items_and_bugs_end(run, proxy)


async def assert_items_and_bugs_end(run: Running, proxy: PostgresProxy) -> None:
    """What is one item's, or a bug, ends attempts with its name; nothing stays ``scoring``."""
    for step in SCORING_STEPS:
        await raised_at(run, proxy, (step,), ITEMS_AND_BUGS)

    async def all_ended() -> bool:
        unfinished = """
            SELECT count(*) FROM applications a
            WHERE NOT EXISTS (SELECT FROM results r WHERE r.application_id = a.id)"""
        return int(await run.ledger.value(unfinished)) == 0

    await until(all_ended, within_seconds=30, what="everything has ended")
    assert await run.ledger.value(SCORING) == 0
    reasons = await run.ledger.query("SELECT reason FROM results WHERE status = 'failed'")
    assert all("made by a test" in row["reason"] for row in reasons), reasons


@pytest.mark.parametrize("mode", get_args(ConnectionMode))
async def test_every_sqlstate_at_every_step(
    tmp_path: Path, database_url: str, redis_url: str, mode: str
) -> None:
    await every_state_at_every_step(tmp_path, database_url, redis_url, mode)


async def test_off_switch_a_worker_that_does_not_try_again_wastes_verdicts(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    async with asyncio.timeout(120):
        with pytest.raises((AssertionError, TimeoutError)):
            await every_state_at_every_step(
                tmp_path, database_url, redis_url, "perWrite", unguarded="trouble_is_survived"
            )
