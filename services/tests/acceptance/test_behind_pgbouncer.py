"""Everything but perJob works through a PgBouncer in transaction mode, as its defaults are.

All the commands that speak to Postgres are run through it, with more clients at once than it keeps
servers for, and while it is killed; what is promised holds as it does without.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg
import pytest

from shortlist.domain.line.application import PipelineName
from shortlist.domain.sizing.pipeline import ScoringPipeline
from shortlist.storage import postgres, redis, snapshots
from shortlist.storage.postgres.pooled import PooledConnection
from shortlist.urls import DatabaseUrl, Pooler
from shortlist_operator.observe import Observer
from testkit.clients.ledger import Ledger
from testkit.databases.pgbouncer import PgBouncer
from testkit.processes.stack import Stack, status_of
from testkit.processes.up import running
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from shortlist.embedded.servers.postgres import EmbeddedPostgres
    from testkit.processes.stack import Service

CLIENTS = 10


@pytest.fixture
async def bouncer(tmp_path: Path, postgres_server: EmbeddedPostgres) -> AsyncIterator[PgBouncer]:
    host = str(postgres_server.socket_directory)
    bouncer = PgBouncer(tmp_path / "pgbouncer", postgres_server, host)
    await bouncer.start()
    yield bouncer
    await bouncer.stop(signal.SIGKILL)


@pytest.fixture
async def empty(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The name of a database that has nothing in it yet."""
    name = f"pooled_{time.monotonic_ns()}"
    admin = await asyncpg.connect(postgres_server.url.replace("/shortlist?", "/postgres?"))
    await admin.execute(f"CREATE DATABASE {name}")
    yield name
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


def run(*arguments: str, database_url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shortlist", *arguments],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@asynccontextmanager
async def everything(
    tmp_path: Path, url: str, direct_url: str, redis_url: str, *, unguarded: str = ""
) -> AsyncIterator[tuple[Stack, list[Service], list[Ledger]]]:
    """Two ingests, a worker, maintenance and a dashboard; a client of each ingest."""
    async with (
        Stack(
            tmp_path,
            url,
            redis_url,
            connection_mode="perWrite",
            service_seconds=0.05,
            concurrency=50,
        ) as stack,
        AsyncExitStack() as clients,
    ):
        ingests = [await stack.start("ingest", wait=False, unguarded=unguarded) for _ in range(2)]
        for role in ("worker", "maintenance", "dashboard"):
            await stack.start(role, wait=False)
        await stack.ready()
        ledgers = [
            await clients.enter_async_context(Ledger(one.url, direct_url)) for one in ingests
        ]
        yield stack, ingests, ledgers


async def submitted(ledgers: list[Ledger], ingests: list[Service], count: int) -> None:
    """From many clients at once, each of which also reads; nothing but 202 and 200."""

    async def read(ingest: Service) -> None:
        for _ in range(count):
            status = await status_of(f"{ingest.url}/leaderboard")
            assert status == 200, f"refused: a leaderboard was answered {status}"

    await asyncio.gather(
        *(ledger.submit(count, at_once=CLIENTS) for ledger in ledgers),
        *(read(ingest) for ingest in ingests for _ in range(2)),
    )
    answers = [dict(ledger.answers) for ledger in ledgers]
    assert all(set(a) == {202} for a in answers), f"refused: {answers}"
    # Tried again on another connection it would go unseen, and cost a connection each time.
    logs = [ingest.log for ingest in ingests]
    assert not any("prepared statement" in log for log in logs), "refused: prepared statements"


@pytest.mark.slow
async def test_behind_pgbouncer(
    tmp_path: Path,
    bouncer: PgBouncer,
    empty: str,
    postgres_server: EmbeddedPostgres,
    redis_url: str,
) -> None:
    url, direct_url = bouncer.url(empty), postgres_server.url.replace("/shortlist?", f"/{empty}?")
    for said in ("empty -> ", "Up to date"):
        done = run("migrate", database_url=url)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(said)
    async with everything(tmp_path, url, direct_url, redis_url) as (_, ingests, ledgers):
        await submitted(ledgers, ingests, 150)
        await until(lambda: _all_scored(ledgers), what="all are scored")
        for how in (signal.SIGKILL, signal.SIGTERM):
            await _broken_under_load(bouncer, ledgers, how)
        for ledger in ledgers:
            await ledger.settle()
            await ledger.assert_nothing_is_half_done()
    done = run("requeue", "--all-failed", database_url=url)
    assert (done.returncode, done.stdout) == (0, "Requeued 0 applications.\n"), done.stderr
    assert "unsupported startup parameter" not in bouncer.log


async def _all_scored(ledgers: list[Ledger]) -> bool:
    return await ledgers[0].scored() >= sum(len(ledger.accepted) for ledger in ledgers)


async def _broken_under_load(
    bouncer: PgBouncer, ledgers: list[Ledger], how: signal.Signals
) -> None:
    async with AsyncExitStack() as loads:
        for ledger in ledgers:
            await loads.enter_async_context(ledger.load(per_second=20))
        await bouncer.stop(how)
        await asyncio.sleep(1)  # the length of the outage, not a wait for something
        await bouncer.start()
        before = await ledgers[0].scored()
        await ledgers[0].until_scored(before + 40)
    for ledger in ledgers:
        assert set(ledger.answers) <= {202, 503}, f"odd answers: {ledger.answers}"


async def test_off_switch_prepared_statements_behind_a_pooler_refuse_requests(
    tmp_path: Path, bouncer: PgBouncer, database_url: str, redis_url: str
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    with pytest.raises(AssertionError, match=r"^refused: "):
        async with everything(
            tmp_path, bouncer.url(name), database_url, redis_url, unguarded="nothing_prepared"
        ) as (_, ingests, ledgers):
            await submitted(ledgers, ingests, 150)


@asynccontextmanager
async def two_clients(
    bouncer: PgBouncer, database_url: str
) -> AsyncIterator[tuple[postgres.Connection, postgres.Connection]]:
    """One in a hurry, and one that is not."""
    url = bouncer.url(database_url.partition("?")[0].rpartition("/")[2])
    hurried = await postgres.connect(
        url, application_name="hurried", settings={"statement_timeout": "100"}
    )
    patient = await postgres.connect(url, application_name="patient")
    try:
        yield hurried, patient
    finally:
        for connection in (hurried, patient):
            await postgres.close_quickly(connection)


async def time_out_holds(bouncer: PgBouncer, database_url: str) -> None:
    async with two_clients(bouncer, database_url) as (hurried, patient):
        with pytest.raises(asyncpg.QueryCanceledError):
            await hurried.fetch("SELECT pg_sleep(1)")
        assert await hurried.fetchval("SHOW statement_timeout") == "100ms"
        async with hurried.transaction():
            assert await hurried.fetchval("SHOW statement_timeout") == "100ms"
        # One session served both: what the one set must not have stayed.
        assert await patient.fetchval("SHOW statement_timeout") == "0"
        assert await patient.fetchval("SELECT 1 FROM (SELECT pg_sleep(0.2)) s") == 1


async def test_a_time_out_holds_behind_a_pooler_and_in_no_other_session(
    bouncer: PgBouncer, database_url: str
) -> None:
    await time_out_holds(bouncer, database_url)


async def test_off_switch_settings_that_no_transaction_begins_with_do_not_hold(
    bouncer: PgBouncer, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PooledConnection, "begin_with", lambda *_: None)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await time_out_holds(bouncer, database_url)


async def test_a_cancelled_statement_behind_a_pooler_leaves_nothing_behind(
    bouncer: PgBouncer, database_url: str, db: postgres.Connection
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    connection = await postgres.connect(bouncer.url(name), application_name="cancelled")
    insert = "INSERT INTO pipelines (name) SELECT 'late' FROM (SELECT pg_sleep(0.5)) s"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await connection.execute(insert)
    assert connection.is_closed()

    async def is_over() -> bool:
        return not await db.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND query = $2 "
            "AND state <> 'idle'",
            name,
            insert,
        )

    await until(is_over, what="Postgres has ended it")
    assert await db.fetchval("SELECT count(*) FROM pipelines WHERE name = 'late'") == 0


async def test_the_budget_behind_a_pooler_is_what_the_pooler_lets_in(
    bouncer: PgBouncer, database_url: str
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    url = DatabaseUrl(bouncer.url(name)).behind(Pooler(client_connections=70))
    connection = await postgres.connect(url, application_name="shortlist-worker unknown")
    look = await snapshots.read_connections(connection)
    await postgres.close_quickly(connection)
    assert (look.budget(10), look.open_by_worker) == (60, {})


async def test_the_operator_looks_and_writes_through_a_pooler(
    bouncer: PgBouncer, database_url: str, redis_url: str, db: postgres.Connection
) -> None:
    """With a second client between its statements, which gets the sessions that it had."""
    url = bouncer.url(database_url.partition("?")[0].rpartition("/")[2])
    one, two = (Observer(DatabaseUrl(url), redis.connect(redis_url)) for _ in range(2))
    for number in range(5):
        for observer in (one, two):
            name = PipelineName(f"p{number}")
            await observer.make_known(replace(ScoringPipeline(), name=name))
            assert (await observer.connections()).budget(20) == 80
    assert await db.fetchval("SELECT count(*) FROM pipelines WHERE name ~ '^p[0-9]$'") == 5
    await one.close()
    await two.close()


@pytest.mark.slow
async def test_up_works_through_a_pooler_and_refuses_per_job_there(
    tmp_path: Path,
    bouncer: PgBouncer,
    empty: str,
    postgres_server: EmbeddedPostgres,
    redis_url: str,
) -> None:
    servers = {"DATABASE_URL": bouncer.url(empty), "REDIS_URL": redis_url}
    with running(tmp_path, SHORTLIST_CONNECTION_MODE="perJob", **servers) as up:  # type: ignore[arg-type]
        assert await up.ended() == 2
        assert "use perWrite" in up.output
    with running(tmp_path, **servers) as up:  # type: ignore[arg-type]
        async with Ledger(
            await up.ready(), postgres_server.url.replace("/shortlist?", f"/{empty}?")
        ) as ledger:
            assert ", through a pooler, by DATABASE_URL." in up.output
            await ledger.submit(40, at_once=CLIENTS)
            assert set(ledger.answers) == {202}
            await ledger.settle()
        up.interrupt()
        assert await up.ended() == 0


def test_a_worker_in_per_job_is_refused_behind_a_pooler(bouncer: PgBouncer) -> None:
    for arguments in (("worker",), ("worker", "--connection-mode", "perJob")):
        done = subprocess.run(
            [sys.executable, "-m", "shortlist", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "DATABASE_URL": bouncer.url("shortlist"),
                "REDIS_URL": "redis://127.0.0.1:1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2
        assert "perWrite" in done.stderr
        assert len(done.stderr.splitlines()) == 1
