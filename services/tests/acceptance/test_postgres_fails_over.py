"""Postgres may become another server, while the old one stays: all is whole again in time.

Two real ones, a primary and its standby, behind a name that comes to mean the standby.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from shortlist.storage.postgres import migrate
from testkit.clients.ledger import Ledger
from testkit.databases.postgreses import postgreses
from testkit.databases.switch import Switch
from testkit.faults.failover import (
    LEFT_AS_IT_IS,
    OPEN_ATTEMPTS,
    UNDER_WAY,
    all_fail_over,
    fails_over,
    is_left_alone,
    is_used,
    operator_goes_on,
    takes_over,
)
from testkit.faults.whole import NOTICED_SECONDS, everything
from testkit.operator.process import an_operator, operator_says
from testkit.processes.up import running
from testkit.waiting import until

if TYPE_CHECKING:
    from pathlib import Path


async def all_fail_over_in(
    directory: Path, redis_url: str, mode: str, how: str, *, unguarded: str = ""
) -> None:
    """The name comes to mean the standby; what the old primary does meanwhile is ``how``."""
    async with postgreses(directory) as (old, new), Switch(old.port) as name:
        await migrate.migrate(old.url())
        async with everything(
            directory, old.url(name.port), redis_url, mode, unguarded=unguarded
        ) as run:
            await all_fail_over(run, old, new, name, how)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "how"),
    [
        ("perJob", "killed"),
        ("perJob", "frozen"),
        ("perJob", "read-only"),
        ("perJob", LEFT_AS_IT_IS),
        ("perWrite", "frozen"),  # behind PgBouncer all four are tried in perWrite
        ("perWrite", LEFT_AS_IT_IS),
    ],
)
async def test_postgres_fails_over(tmp_path: Path, redis_url: str, mode: str, how: str) -> None:
    await all_fail_over_in(tmp_path, redis_url, mode, how)


async def forgets_ends(directory: Path, redis_url: str, *, unguarded: str = "") -> None:
    """Attempts end at the old primary while the new one believes that they go on, by a lease."""
    async with postgreses(directory) as (old, new), Switch(old.port) as name:
        await migrate.migrate(old.url())
        async with everything(
            directory, old.url(name.port), redis_url, "perWrite", unguarded=unguarded,
            service_seconds=2.0,
        ) as run:  # fmt: skip
            await run.ledger.submit(UNDER_WAY)
            await new.has_all_of(old)
            await until(partial(new.ask, OPEN_ATTEMPTS), what="attempts are under way")
            await new.hear_no_more()
            assert await new.ask(OPEN_ATTEMPTS), "they had ended: the test would prove nothing"
            await run.ledger.until_scored(20 + UNDER_WAY)
            since = await takes_over(new, name)
            await is_left_alone(old, since)
            await run.ledger.settle(within_seconds=RESCUED_SECONDS)


RESCUED_SECONDS = 25.0
"""5 s until the worker has said which attempts it has none of, two turns of the sweep (2 s each, of
which one finds suspects), and three times ten at once, of 2 s; and as long again."""


@pytest.mark.slow
async def test_attempts_whose_end_postgres_forgot_are_made_again(
    tmp_path: Path, redis_url: str
) -> None:
    await forgets_ends(tmp_path, redis_url)


async def test_off_switch_attempts_whose_end_postgres_forgot_stay_under_way(
    tmp_path: Path, redis_url: str
) -> None:
    with pytest.raises(AssertionError, match="unfinished: "):
        await forgets_ends(tmp_path, redis_url, unguarded="held_lists")


async def test_off_switch_a_postgres_that_nobody_looks_at_is_used_though_its_name_has_moved(
    tmp_path: Path, redis_url: str
) -> None:
    with pytest.raises(AssertionError, match="the old server is used no more"):
        await all_fail_over_in(
            tmp_path, redis_url, "perJob", LEFT_AS_IT_IS, unguarded="server_watch"
        )


async def test_off_switch_readiness_that_only_reads_does_not_see_a_read_only_server(
    tmp_path: Path, redis_url: str
) -> None:
    guards = "postgres_written,server_watch"
    with pytest.raises(AssertionError, match=r"postgres False|postgres is away"):
        await all_fail_over_in(tmp_path, redis_url, "perJob", "read-only", unguarded=guards)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "read-only", LEFT_AS_IT_IS])
async def test_the_operator_looks_at_the_new_postgres(
    tmp_path: Path, redis_url: str, how: str
) -> None:
    async with postgreses(tmp_path) as (old, new), Switch(old.port) as name:
        await migrate.migrate(old.url())
        async with an_operator(tmp_path, old.url(name.port), redis_url) as (server, operator):
            notice = partial(operator_says, server, "False", NOTICED_SECONDS)
            since = await fails_over(old, new, name, how, notice)
            await operator_goes_on(server, operator, new, since)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["frozen", LEFT_AS_IT_IS])
async def test_up_goes_on_with_the_new_postgres(tmp_path: Path, redis_url: str, how: str) -> None:
    async with postgreses(tmp_path) as (old, new), Switch(old.port) as name:
        servers = {"DATABASE_URL": old.url(name.port), "REDIS_URL": redis_url}
        with running(tmp_path, **servers) as up:  # type: ignore[arg-type]
            async with Ledger(await up.ready(), new.url()) as ledger:
                await ledger.submit_until_accepted(20)
                since = await fails_over(old, new, name, how)
                await is_used(new, since, "shortlist-up")
                await ledger.submit_until_accepted(40)
                await ledger.settle()
