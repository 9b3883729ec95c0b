"""Redis away or hung, Postgres cut off or frozen: answers are true, and nothing is half done."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.ingest import main as ingest
from shortlist.storage import postgres
from shortlist.storage.postgres import schema
from shortlist.storage.redis.line import Line
from shortlist.telemetry.metrics import PUBLISH_FAILURES
from testkit.databases.servers import Servers, terminate_backends
from testkit.processes.ingest import APPLICATION, NO_REDIS, open_door
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from shortlist.storage.postgres import Connection
    from shortlist.storage.redis import Redis
    from testkit.processes.ingest import Door
    from testkit.processes.place import Place

    Opener = Callable[..., AbstractAsyncContextManager[Door]]

SILENT_ACCEPTS = 50


@asynccontextmanager
async def silent_redis(path: Path) -> AsyncIterator[str]:
    """A server that takes connections and commands, and never says a word."""
    writers = []

    async def listen(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_unix_server(listen, path)
    try:
        yield f"unix://{path}"
    finally:
        server.close()
        for writer in writers:
            writer.close()


def failures() -> float:
    return float(PUBLISH_FAILURES._value.get())


async def test_a_dead_redis_does_not_stop_accepting(database_url: str, db: Connection) -> None:
    before = failures()
    async with open_door(database_url, NO_REDIS) as door:
        await asyncio.gather(*(door.accept() for _ in range(20)))
        ready = await door.client.get("/readyz")
        assert (ready.status_code, ready.json()["redis"]) == (200, "unreachable")
    assert await db.fetchval("SELECT count(*) FROM applications") == 20
    assert failures() == before + 20


async def test_a_hung_redis_costs_an_accept_nothing(
    database_url: str, db: Connection, tmp_path: Path
) -> None:
    before = failures()
    async with (
        silent_redis(tmp_path / "silent.sock") as url,
        open_door(database_url, url) as door,
    ):
        began = time.monotonic()
        for _ in range(SILENT_ACCEPTS):
            await door.accept()
        # Its time-out is a second: were one accept in five to wait for it, this took ten.
        assert time.monotonic() - began < SILENT_ACCEPTS / 5
    assert await db.fetchval("SELECT count(*) FROM applications") == SILENT_ACCEPTS
    assert failures() == before + SILENT_ACCEPTS


async def test_connections_that_are_cut_cost_no_client_its_answer(
    opening: Opener, database_url: str
) -> None:
    async with opening(commit_timeout_seconds=20) as door:
        stop = asyncio.Event()

        async def post() -> int:
            count = 0
            while not stop.is_set():
                await door.accept()
                count += 1
            return count

        async def read() -> None:
            application = await door.accept()
            while not stop.is_set():
                assert (await door.client.get(f"/applications/{application}")).is_success

        posting = [asyncio.create_task(post()) for _ in range(8)]
        reading = [asyncio.create_task(read()) for _ in range(4)]
        for _ in range(5):
            await asyncio.sleep(0.3)
            await terminate_backends(database_url)
        stop.set()
        accepted = sum(await asyncio.gather(*posting))
        await asyncio.gather(*reading)
    connection = await _connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM applications") == accepted + 4
    await connection.close()


async def _connect(url: str) -> Connection:
    return await postgres.connect(url, application_name="test")


async def test_what_a_frozen_postgres_was_sent_is_not_inserted_when_it_goes_on(
    tmp_path: Path,
) -> None:
    servers = await Servers.start(tmp_path)
    try:
        async with open_door(
            servers.postgres.url, servers.redis.url, commit_timeout_seconds=0.5
        ) as door:
            accepted = [await door.accept() for _ in range(3)]
            servers.freeze_postgres()
            replies = await asyncio.gather(
                *(door.client.post("/applications", json=APPLICATION) for _ in range(20))
            )
            assert {reply.status_code for reply in replies} == {503}
            assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies)
            read = await door.client.get(f"/applications/{accepted[0]}")
            assert read.status_code == 503
            assert (await door.client.get("/readyz")).status_code == 503
            servers.thaw_postgres()

            async def accepted_again() -> bool:
                reply = await door.client.post("/applications", json=APPLICATION)
                return reply.status_code == 202

            await until(accepted_again, within_seconds=30, what="it accepts again")
            connection = await _connect(servers.postgres.url)
            assert await connection.fetchval("SELECT count(*) FROM applications") == 4
            await connection.close()
    finally:
        await servers.stop()


async def test_ingest_starts_without_postgres_and_accepts_when_it_is_there(tmp_path: Path) -> None:
    servers = await Servers.start(tmp_path)
    try:
        await servers.stop_postgres(signal.SIGINT)
        async with open_door(
            servers.postgres.url, servers.redis.url, commit_timeout_seconds=0.5
        ) as door:
            for path in ("/applications", "/job"):
                assert (await door.client.post(path, json=APPLICATION)).status_code == 503
            assert (await door.client.get("/leaderboard")).status_code == 503
            assert (await door.client.get("/readyz")).status_code == 503
            assert (await door.client.get("/healthz")).status_code == 200
            await servers.start_postgres()

            async def accepted() -> bool:
                reply = await door.client.post("/applications", json=APPLICATION)
                return reply.status_code == 202

            await until(accepted, within_seconds=30, what="it accepts")
            assert (await door.client.get("/readyz")).status_code == 200
    finally:
        await servers.stop()


async def test_an_old_schema_is_not_ready(
    database_url: str, redis_url: str, db: Connection
) -> None:
    await db.execute("UPDATE alembic_version SET version_num = '0000'")
    async with open_door(database_url, redis_url) as door:
        ready = await door.client.get("/readyz")
        assert (ready.status_code, ready.json()["postgres"]) == (
            503,
            f"schema 0000, needed: {schema.NEEDED}",
        )


async def test_too_many_waiting_accepts_are_503(
    opening: Opener, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "ACCEPT_BACKLOG", 5)
    async with opening(commit_timeout_seconds=20) as door:
        async with db.transaction():
            await db.execute("LOCK TABLE applications IN SHARE MODE")  # inserts wait
            posts = [
                asyncio.create_task(door.client.post("/applications", json=APPLICATION))
                for _ in range(30)
            ]

            async def some_refused() -> bool:
                return any(post.done() for post in posts)

            await until(some_refused, within_seconds=20, what="some are refused")
        replies = await asyncio.gather(*posts)
        statuses = {reply.status_code for reply in replies}
        assert statuses == {202, 503}
        accepted = sum(reply.status_code == 202 for reply in replies)
        assert await db.fetchval("SELECT count(*) FROM applications") == accepted


async def test_an_insert_that_waits_too_long_is_not_done_later(
    opening: Opener, db: Connection
) -> None:
    async with opening(commit_timeout_seconds=0.5) as door:
        await door.accept()
        async with db.transaction():
            await db.execute("LOCK TABLE applications IN SHARE MODE")
            reply = await door.client.post("/applications", json=APPLICATION)
            assert reply.status_code == 503

            async def nobody_waits() -> bool:
                return not await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")

            await until(nobody_waits, within_seconds=20, what="the server gives up")
        assert await db.fetchval("SELECT count(*) FROM applications") == 1


async def test_a_kill_after_the_answer_comes_after_the_answer(
    place: Place, line_redis: Redis
) -> None:
    async with place.running(failpoints="ingest.after_answer=kill@1") as run:
        assert (await run.ledger.post()).status == 202

        async def died() -> bool:
            return bool(run.ingest.deaths)

        await until(died, within_seconds=20, what="it dies")
    assert await Line(line_redis, DEFAULT_PIPELINE).submissions() == 0


@pytest.mark.parametrize("second_signal", [False, True])
async def test_a_drain_answers_whoever_was_let_in_unless_told_to_stop_at_once(
    place: Place, db: Connection, line_redis: Redis, *, second_signal: bool
) -> None:
    async with place.running(commit_timeout_seconds=60) as run:
        async with db.transaction():
            await db.execute("LOCK TABLE applications IN SHARE MODE")
            post = asyncio.create_task(run.ledger.post())

            async def waits() -> bool:
                return bool(await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

            await until(waits, within_seconds=20, what="the commit waits")
            run.ingest.terminate()

            async def refuses() -> bool:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", run.ingest.port)
                except OSError:
                    return True
                writer.close()
                return False

            await until(refuses, within_seconds=20, what="no client is let in any more")
            if second_signal:
                run.ingest.signal(signal.SIGTERM)
                assert await run.ingest.exit_code(within_seconds=20) == 1
        if second_signal:
            assert (await post).status == 0
        else:
            assert (await post).status == 202
            assert await run.ingest.exit_code(within_seconds=20) == 0
            assert await Line(line_redis, DEFAULT_PIPELINE).submissions() == 1
