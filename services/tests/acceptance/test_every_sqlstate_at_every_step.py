"""Postgres refuses each step with each SQLSTATE, in both modes: nothing is lost or wasted.

The proxy has the server raise them in turn at one step, or a group of steps, while applications are
posted. `testkit.faults.sqlstates` has the table, and says where steps are refused that a load does
not meet.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, get_args

import pytest

from shortlist.domain.line.application import ConnectionMode
from testkit.faults import steps
from testkit.faults.sqlstates import AT_THE_START, ITEMS_AND_BUGS, KINDS, Row, rows
from testkit.processes.place import Place
from testkit.proxies.postgres import PostgresProxy
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from testkit.processes.place import Running
    from testkit.proxies.postgres import Refusal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCORING_STEPS = ("applications.accept", "claims.claim", "claims.complete")
TEXTS = steps.postgres_steps()

WASTED = "SELECT count(*) FROM attempts WHERE attempt > 1 OR outcome IS NOT NULL"
SCORING = """
    SELECT count(*) FROM attempts t WHERE outcome IS NULL
    AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = t.application_id)
"""
UNFINISHED = """
    SELECT count(*) FROM applications a
    WHERE NOT EXISTS (SELECT FROM results r WHERE r.application_id = a.id)
"""
DUE_AT_ONCE = """
    UPDATE retries SET due_at = clock_timestamp()
    WHERE due_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '5 min 1 s'
"""
"""After a bug an application waits for 5 s and more, and for 5 min when its failure is refused too
(`Runner._put_aside`): longer than a test should."""


def refused(
    stack: ExitStack, proxy: PostgresProxy, refused_steps: Iterable[str], states: tuple[str, ...]
) -> dict[str, Refusal]:
    """Have each state raised once at each step, until the stack is left."""
    return {
        step: stack.enter_context(proxy.refusing(TEXTS[step], *states, times=len(states)))
        for step in refused_steps
    }


async def raised_at(run: Running, proxy: PostgresProxy, row: Row) -> None:
    """Have each state of a row raised at each of its steps, while applications are posted."""
    with ExitStack() as stack:
        refusals = refused(stack, proxy, row.steps, row.states)
        await row.begin(run)

        async def all_raised() -> bool:
            await row.provoke(run)
            return all(refusal.is_over for refusal in refusals.values())

        try:
            await until(all_raised, within_seconds=60, what=f"{row.states} are raised")
        except AssertionError as error:
            missing = [step for step, refusal in refusals.items() if not refusal.is_over]
            raise AssertionError(f"{error}: at {missing}") from None


async def every_state_at_every_step(
    directory: Path, database_url: str, redis_url: str, mode: str, *, unguarded: str = ""
) -> None:
    async with PostgresProxy(database_url) as proxy:
        place = Place(directory, proxy.url, redis_url)
        async with place.running(
            "maintenance", "dashboard", connection_mode=mode, service_seconds=0.2, concurrency=8,
            commit_timeout_seconds=1.5, unguarded="sweeps_often",
        ) as run:  # fmt: skip
            with ExitStack() as stack:
                refusals = refused(stack, proxy, AT_THE_START, KINDS)
                await run.stack.start("worker", unguarded=unguarded)
                assert all(refusal.is_over for refusal in refusals.values())
            await run.ledger.submit_until_accepted(1)
            async with run.ledger.load(per_second=10):
                for row in rows(mode):
                    await raised_at(run, proxy, row)
            await run.ledger.settle(within_seconds=30)
            assert await run.ledger.value(WASTED) == 0
            await assert_items_and_bugs_end(run, proxy)


async def assert_items_and_bugs_end(run: Running, proxy: PostgresProxy) -> None:
    """What is one item's, or a bug, ends attempts with its name; nothing stays ``scoring``."""
    for step in SCORING_STEPS:
        await raised_at(run, proxy, Row((step,), ITEMS_AND_BUGS))

    async def all_ended() -> bool:
        await run.ledger.query(DUE_AT_ONCE)
        return int(await run.ledger.value(UNFINISHED)) == 0

    await until(all_ended, within_seconds=30, poll_seconds=0.5, what="everything has ended")
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
