from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from shortlist.runtime import http_server, probes
from shortlist.settings import Settings

if TYPE_CHECKING:
    from starlette.requests import Request


def settings(port: int = 0) -> Settings:
    return Settings(host="127.0.0.1", port=port)


async def well() -> probes.Health:
    return probes.Health(ok=True, detail={"postgres": "ok"})


async def unwell() -> probes.Health:
    return probes.Health(ok=False, detail={"postgres": "unreachable"})


async def broken() -> probes.Health:
    raise ConnectionError("a secret address")


async def test_the_probes_answer_on_the_real_port() -> None:
    async with (
        http_server.serve(probes.probe_app(readiness=well), settings()) as server,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client,
    ):
        assert server.port > 0
        health = await client.get("/healthz")
        assert (health.status_code, health.json()) == (200, {"status": "ok"})
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ok", "postgres": "ok"})
        metrics = await client.get("/metrics")
        assert "shortlist_" in metrics.text or "python_info" in metrics.text


async def test_a_check_that_fails_or_raises_is_a_503_without_secrets() -> None:
    app = probes.probe_app(readiness=unwell, liveness=broken)
    async with (
        http_server.serve(app, settings()) as server,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client,
    ):
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        health = await client.get("/healthz")
        assert (health.status_code, health.json()) == (
            503,
            {"status": "unavailable", "error": "ConnectionError"},
        )


async def test_a_taken_port_is_told() -> None:
    app = probes.probe_app(readiness=well)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(http_server.CannotListenError, match="in use"),
    ):
        async with http_server.serve(app, settings(taken.getsockname()[1])):
            pass


async def test_a_request_under_way_finishes_when_the_server_stops() -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> PlainTextResponse:
        started.set()
        await finish.wait()
        return PlainTextResponse("done")

    app = Starlette(routes=[Route("/slow", slow)])
    async with (
        http_server.serve(app, settings()) as server,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client,
    ):
        answer = asyncio.create_task(client.get("/slow"))
        await started.wait()
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0.3)
        assert not stopping.done()
        finish.set()
        assert (await answer).text == "done"
        await stopping


async def test_those_who_ask_while_a_check_runs_share_its_answer() -> None:
    checks = 0
    go_on = asyncio.Event()

    async def slow() -> probes.Health:
        nonlocal checks
        checks += 1
        await go_on.wait()
        return probes.Health(ok=False)

    app = probes.probe_app(readiness=slow)
    async with (
        http_server.serve(app, settings()) as server,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client,
    ):
        asking = [asyncio.create_task(client.get("/readyz")) for _ in range(20)]
        while not checks:
            await asyncio.sleep(0)
        assert (await client.get("/healthz")).status_code == 200
        go_on.set()
        replies = await asyncio.gather(*asking)
    assert {(r.status_code, r.headers["retry-after"]) for r in replies} == {(503, "1")}
    assert checks < 20


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_listener_on_loopback_is_called_by_names_of_this_machine_only(host: str) -> None:
    app = probes.probe_app(readiness=probes.always_ok)
    chosen = settings().model_copy(update={"host": host})
    async with http_server.serve(app, chosen) as server:
        url = f"http://{f'[{host}]' if ':' in host else host}:{server.port}/healthz"
        async with httpx2.AsyncClient(trust_env=False) as client:
            assert (await client.get(url)).status_code == 200
            refused = await client.get(url, headers={"Host": "evil.example"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "FORBIDDEN")


async def test_a_listener_of_all_addresses_is_called_by_any_name() -> None:
    app = probes.probe_app(readiness=probes.always_ok)
    chosen = settings().model_copy(update={"host": "0.0.0.0"})
    async with (
        http_server.serve(app, chosen) as server,
        httpx2.AsyncClient(trust_env=False) as client,
    ):
        url = f"http://127.0.0.1:{server.port}/healthz"
        assert (await client.get(url, headers={"Host": "apply.example"})).status_code == 200
