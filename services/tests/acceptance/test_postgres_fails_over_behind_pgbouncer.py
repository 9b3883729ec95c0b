"""The server behind a pooler may become another one, while the pooler and all clients stay.

PgBouncer is told by its administrator (RELOAD, RECONNECT); the client connections stay open.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from shortlist.storage.postgres import migrate
from testkit.databases.pgbouncer import PgBouncer
from testkit.databases.postgreses import Postgres, postgreses
from testkit.faults.failover import (
    LEFT_AS_IT_IS,
    all_fail_over,
    fails_over,
    operator_goes_on,
)
from testkit.faults.whole import NOTICED_SECONDS, everything
from testkit.operator.process import an_operator, operator_says

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

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


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "frozen", "read-only", LEFT_AS_IT_IS])
async def test_postgres_fails_over_behind_pgbouncer(
    tmp_path: Path, redis_url: str, how: str
) -> None:
    async with (
        behind_pgbouncer(tmp_path) as (old, new, bouncer),
        everything(tmp_path, bouncer.url("shortlist"), redis_url, "perWrite") as run,
    ):
        await all_fail_over(run, old, new, bouncer, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["frozen", "read-only"])
async def test_the_operator_looks_at_the_new_postgres_behind_pgbouncer(
    tmp_path: Path, redis_url: str, how: str
) -> None:
    async with behind_pgbouncer(tmp_path) as (old, new, bouncer):
        url = bouncer.url("shortlist")
        async with an_operator(tmp_path, url, redis_url) as (server, operator):
            is_told = how == "frozen"  # read-only is enough for what it asks
            notice = partial(operator_says, server, "False", NOTICED_SECONDS) if is_told else None
            since = await fails_over(old, new, bouncer, how, notice)
            await operator_goes_on(server, operator, new, since)
