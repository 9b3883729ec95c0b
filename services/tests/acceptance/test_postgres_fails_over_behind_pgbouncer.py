"""The server behind a pooler may become another one, while the pooler and all clients stay.

PgBouncer is told by its administrator (RELOAD, RECONNECT); the client connections stay open.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from shortlist.storage.postgres import migrate
from testkit.databases.pgbouncer import PgBouncer
from testkit.databases.postgreses import Postgres, postgreses
from testkit.faults.failover import breaks, is_left_alone, is_used
from testkit.faults.whole import (
    NOTICED_SECONDS,
    WHOLE_AGAIN_SECONDS,
    everything,
    is_whole_since,
    says_the_truth,
)
from testkit.operator.process import an_operator, operator_says

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

UNDER_WAY = 30
"""Applications that wait or are being scored when it happens."""

RECOMMENDED = "server_login_retry = 1\nserver_connect_timeout = 1"
"""As in docs/servers.md. By default PgBouncer goes on to wait for a server that is gone for 15 s,
though it was told of the new one."""


@asynccontextmanager
async def behind_pgbouncer(
    directory: Path,
) -> AsyncIterator[tuple[Postgres, Postgres, PgBouncer]]:
    """A primary with the schema in place, its standby, and a pooler that leads to the primary."""
    async with postgreses(directory) as (old, new):
        await migrate.migrate(old.url())
        bouncer = PgBouncer(directory / "pgbouncer", old, "127.0.0.1", old.port, RECOMMENDED)
        await bouncer.start()
        try:
            yield old, new, bouncer
        finally:
            await bouncer.stop()


async def takes_over(new: Postgres, bouncer: PgBouncer) -> float:
    """Have a standby take writes, and the pooler lead to it; since when (monotonic seconds)."""
    await new.lead()
    await bouncer.lead_to(new.port)
    return time.monotonic()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "frozen", "read-only", "left as it is"])
async def test_postgres_fails_over_behind_pgbouncer(
    tmp_path: Path, redis_url: str, how: str
) -> None:
    async with (
        behind_pgbouncer(tmp_path) as (old, new, bouncer),
        everything(tmp_path, bouncer.url("shortlist"), redis_url, "perWrite") as run,
    ):
        await run.ledger.submit(UNDER_WAY)
        await new.has_all_of(old)
        if how != "left as it is":
            await breaks(old, how)
            await says_the_truth(run, postgres=False, within_seconds=NOTICED_SECONDS)
        if how == "read-only":
            await new.has_all_of(old)
        since = await takes_over(new, bouncer)
        if how == "left as it is":
            await is_left_alone(old, since)
        await is_whole_since(run, since)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["frozen", "read-only"])
async def test_the_operator_looks_at_the_new_postgres_behind_pgbouncer(
    tmp_path: Path, redis_url: str, how: str
) -> None:
    async with behind_pgbouncer(tmp_path) as (old, new, bouncer):
        url = bouncer.url("shortlist")
        async with an_operator(tmp_path, url, redis_url) as (server, operator):
            await new.has_all_of(old)
            await breaks(old, how)
            if how == "frozen":  # read-only: it reads, and a pooler leads to a server that can
                await operator_says(server, "False", NOTICED_SECONDS)
            since = await takes_over(new, bouncer)
            await operator_says(server, "True", since + WHOLE_AGAIN_SECONDS - time.monotonic())
            await is_used(new, since, "shortlist-operator")
            assert not operator.deaths
