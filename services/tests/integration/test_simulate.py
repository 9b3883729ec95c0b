"""Against servers that speak the job server's contract, and some that break it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from shortlist import simulate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class JobServer:
    """Completes a job at its second look; a test changes what it answers."""

    def __init__(self) -> None:
        self.numbers = count(1)
        self.looks: Counter[str] = Counter()
        self.payloads: list[str] = []
        self.refuse: Callable[[web.Request], web.Response | None] = lambda _: None
        self.url = ""

    async def submit(self, request: web.Request) -> web.Response:
        if refusal := self.refuse(request):
            return refusal
        self.payloads.append((await request.json())["payload"])
        return web.json_response({"id": str(next(self.numbers))}, status=202)

    async def status(self, request: web.Request) -> web.Response:
        if refusal := self.refuse(request):
            return refusal
        job = request.match_info["job"]
        self.looks[job] += 1
        if self.looks[job] < 2:
            return web.json_response({"id": job, "status": "PENDING"}, status=425)
        return web.json_response({"id": job, "status": "COMPLETED"})


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[JobServer]:
    monkeypatch.setattr(simulate, "POLL_SECONDS", 0.05)
    jobs = JobServer()
    app = web.Application()
    app.router.add_post("/job", jobs.submit)
    app.router.add_get("/status/{job}", jobs.status)
    async with listening(app) as jobs.url:
        yield jobs


Output = pytest.CaptureFixture[str]


async def test_each_client_makes_three_jobs_and_starts_over(
    server: JobServer, capsys: Output
) -> None:
    assert await simulate.run(url=server.url, clients=4, rounds=2) == 0
    assert len(set(server.payloads)) == 4 * 2 * 3
    assert set(server.looks.values()) == {2}
    told = capsys.readouterr().out
    assert "24 completed, 0 failed, 0 lost, 0 still waiting" in told
    assert "GET /status → 425: 24" in told
    assert "POST /job → 202: 24" in told


async def test_a_job_that_becomes_unknown_is_lost_and_fails_the_command(
    server: JobServer, capsys: Output
) -> None:
    server.refuse = lambda request: (
        web.Response(status=404) if request.path == "/status/2" else None
    )
    assert await simulate.run(url=server.url, clients=1, rounds=1) == 1
    told = capsys.readouterr().out
    assert "2 completed, 0 failed, 1 lost" in told
    assert "lost: 2" in told


async def test_a_failed_job_fails_the_command(server: JobServer, capsys: Output) -> None:
    server.refuse = lambda request: (
        web.Response(status=410) if request.path == "/status/1" else None
    )
    assert await simulate.run(url=server.url, clients=1, rounds=1) == 1
    assert "2 completed, 1 failed, 0 lost" in capsys.readouterr().out


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_client_that_is_turned_away_waits_as_long_as_it_was_told(
    server: JobServer, capsys: Output, status: int, method: str
) -> None:
    times: list[float] = []

    def refuse(request: web.Request) -> web.Response | None:
        if request.method != method or len(times) == 2:
            return None
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            return web.Response(status=status, headers={"Retry-After": "1"})
        return None

    server.refuse = refuse
    assert await simulate.run(url=server.url, clients=1, rounds=1) == 0
    assert times[1] - times[0] >= 1
    assert f"→ {status}: 1" in capsys.readouterr().out


async def test_a_server_that_drops_a_connection_is_asked_again(
    server: JobServer, capsys: Output
) -> None:
    dropped: list[str] = []

    def refuse(request: web.Request) -> web.Response | None:
        if len(dropped) < 2:
            dropped.append(request.method)
            assert request.transport is not None
            request.transport.abort()
        return None

    server.refuse = refuse
    assert await simulate.run(url=server.url, clients=1, rounds=1) == 0
    assert "Error: " in capsys.readouterr().out


async def test_time_ends_it_and_what_still_waits_is_not_lost(
    server: JobServer, capsys: Output
) -> None:
    server.refuse = lambda request: web.Response(status=425) if request.method == "GET" else None
    assert await simulate.run(url=server.url, clients=2, seconds=1.0) == 0
    assert "0 lost, 6 still waiting" in capsys.readouterr().out


@pytest.mark.parametrize(("seconds", "code"), [(None, 0), (600, 130)])
async def test_an_interrupt_ends_it_with_a_summary(
    server: JobServer, capsys: Output, seconds: float | None, code: int
) -> None:
    playing = asyncio.create_task(simulate.run(url=server.url, clients=2, seconds=seconds))
    async with asyncio.timeout(30):
        while len(server.payloads) < 6:
            await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
    assert await playing == code
    assert "submit to completed" in capsys.readouterr().out


async def test_nobody_there_is_a_sentence(capsys: Output) -> None:
    async with listening(web.Application()) as url:
        pass
    assert await simulate.run(url=url, clients=1) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"shortlist: Nothing answers at {url}")
    assert "shortlist up" in told


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://example.org", "http://a:b", ""])
async def test_an_address_that_is_none_is_a_sentence(capsys: Output, url: str) -> None:
    assert await simulate.run(url=url, clients=1) == 1
    assert "is no address" in capsys.readouterr().err


async def test_another_server_is_a_sentence(capsys: Output) -> None:
    async with listening(web.Application()) as url:
        assert await simulate.run(url=url, clients=3, rounds=1) == 1
    assert "answered 404: that is no job server" in capsys.readouterr().err
