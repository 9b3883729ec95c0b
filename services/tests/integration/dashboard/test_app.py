from __future__ import annotations

import asyncio
import os
import re
import signal
from typing import TYPE_CHECKING

import httpx2
import pytest

from shortlist.dashboard.app import build_app
from shortlist.dashboard.snapshot_reader import SnapshotReader
from shortlist.storage import postgres, redis
from shortlist.storage.postgres.pool import ConnectionPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette

    from testkit.clients.dashboard import Applicants

SCRIPT = "<script>alert(1)</script>"


def browser(app: Starlette) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://dashboard")


@pytest.fixture
async def client(dashboard: Starlette) -> AsyncIterator[httpx2.AsyncClient]:
    async with browser(dashboard) as client:
        yield client


async def test_the_page_lists_recent_applications_and_their_state(
    client: httpx2.AsyncClient, applicants: Applicants
) -> None:
    await applicants.pending(None)
    await applicants.scoring("Grace")
    scored = await applicants.scored("Ada", 71.5)
    await applicants.failed("Alan", "the model refused")

    page = (await client.get("/")).text

    assert re.findall(r'<tr data-id=".+?" data-status="(\w+)"', page) == [
        "failed", "scored", "scoring", "pending",
    ]  # fmt: skip
    for text in ("anonymous", "Grace", "71.50", "the model refused", f"/applications/{scored}"):
        assert text in page


async def test_the_updates_hold_what_the_page_holds(
    client: httpx2.AsyncClient, applicants: Applicants
) -> None:
    scored = await applicants.scored("Ada", 71.5)
    answer = (await client.get("/dashboard/recent.json")).json()
    assert [(row["id"], row["status"], row["score"]) for row in answer["rows"]] == [
        (str(scored), "scored", "71.50")
    ]


async def test_an_empty_page_says_what_to_do(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/")).text
    assert "Nothing has been submitted yet" in page


async def test_what_a_candidate_wrote_is_never_markup(
    client: httpx2.AsyncClient, applicants: Applicants
) -> None:
    await applicants.pending(f"{SCRIPT}\" onmouseover='x'")
    await applicants.failed("Eve", SCRIPT)
    page = (await client.get("/")).text
    assert SCRIPT not in page
    assert "onmouseover='" not in page
    assert page.count("&lt;script&gt;") == 2


@pytest.mark.parametrize(
    "path", ["/", "/dashboard/recent.json", "/dashboard/static/dashboard.js", "/x"]
)
async def test_every_answer_forbids_what_is_not_ours(client: httpx2.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"


async def test_the_page_needs_nothing_from_elsewhere(client: httpx2.AsyncClient) -> None:
    """Every file that the page names is served here, and it holds no script or style itself."""
    page = (await client.get("/")).text
    ours = re.findall(r'(?:src|href)="(/dashboard/[^"]+)"', page)
    assert {(await client.get(path)).status_code for path in ours} == {200}
    assert not re.findall(r'(?:src|href)="(?!/|#)', page)
    assert not re.findall(r"<style|style=|<script>|onclick", page)


@pytest.mark.usefixtures("busy_line")
async def test_the_header_tells_of_the_line_and_the_workers(client: httpx2.AsyncClient) -> None:
    figures = (await client.get("/dashboard/recent.json")).json()["figures"]
    assert figures == {
        "waiting": "3", "in_flight": "2 of 10", "workers": "1", "connections": "11",
    }  # fmt: skip


async def test_without_redis_the_rows_are_still_shown(
    database_url: str, applicants: Applicants
) -> None:
    await applicants.pending("Ada")
    pool = ConnectionPool(lambda: postgres.connect(database_url, application_name="test"), 1)
    nowhere = redis.connect("unix:///nowhere.sock")
    async with browser(build_app(SnapshotReader(pool, nowhere))) as client:
        answer = await client.get("/")
    await pool.close()
    await nowhere.aclose()
    assert answer.status_code == 200
    assert "Ada" in answer.text
    assert "unknown" in answer.text
    assert re.search(r'id="line-away" *>', answer.text)


async def test_without_postgres_a_page_says_so_and_when_to_come_back(
    line_redis: redis.Redis,
) -> None:
    async with browser(build_app(SnapshotReader(nowhere_pool(), line_redis))) as client:
        page = await client.get("/")
        update = await client.get("/dashboard/recent.json")
    assert page.status_code == update.status_code == 503
    assert page.headers["retry-after"] == update.headers["retry-after"] == "2"
    assert "The database does not answer" in page.text
    assert update.json()["error"]["code"] == "UNAVAILABLE"


async def test_the_page_comes_back_with_postgres(
    database_url: str, line_redis: redis.Redis
) -> None:
    urls = ["postgresql:///x?host=/nowhere", database_url]
    pool = ConnectionPool(lambda: postgres.connect(urls.pop(0), application_name="test"), 1)
    async with browser(build_app(SnapshotReader(pool, line_redis))) as client:
        assert (await client.get("/")).status_code == 503
        async with asyncio.timeout(20):
            await until_status(client, 200)
    await pool.close()


async def test_a_postgres_that_hangs_is_away_and_is_back_when_it_continues(
    database_url: str, line_redis: redis.Redis, db: postgres.Connection
) -> None:
    pool = ConnectionPool(lambda: postgres.connect(database_url, application_name="hangs"), 2)
    async with browser(build_app(SnapshotReader(pool, line_redis))) as client:
        assert (await client.get("/")).status_code == 200
        backend = await db.fetchval(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'hangs'"
        )
        os.kill(backend, signal.SIGSTOP)
        try:
            async with asyncio.timeout(20):
                await until_status(client, 503)
        finally:
            os.kill(backend, signal.SIGCONT)
        async with asyncio.timeout(20):
            await until_status(client, 200)
    await pool.close()


async def until_status(client: httpx2.AsyncClient, status: int) -> None:
    while (await client.get("/")).status_code != status:
        await asyncio.sleep(0.05)


async def test_a_crowd_of_viewers_costs_one_read(
    database_url: str, line_redis: redis.Redis
) -> None:
    opened = 0

    async def connect() -> postgres.Connection:
        nonlocal opened
        opened += 1
        return await postgres.connect(database_url, application_name="test")

    pool = ConnectionPool(connect, 50)
    reader = SnapshotReader(pool, line_redis)
    snapshots = await asyncio.gather(*(reader.snapshot() for _ in range(50)))
    await pool.close()
    assert opened == 1
    assert len({id(snapshot) for snapshot in snapshots}) == 1


async def test_one_viewer_who_leaves_does_not_stop_the_others(
    database_url: str, line_redis: redis.Redis
) -> None:
    pool = ConnectionPool(lambda: postgres.connect(database_url, application_name="test"), 1)
    reader = SnapshotReader(pool, line_redis)
    leaver = asyncio.create_task(reader.snapshot())
    stayer = asyncio.create_task(reader.snapshot())
    await asyncio.sleep(0)
    leaver.cancel()
    assert (await stayer).recent == []
    await pool.close()


def nowhere_pool() -> ConnectionPool:
    url = "postgresql:///x?host=/nowhere"
    return ConnectionPool(lambda: postgres.connect(url, application_name="test"), 1)
