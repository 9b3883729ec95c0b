from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from shortlist.runtime import http_server
from shortlist.settings import Settings
from testkit.processes.stack import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.requests import Request

    from testkit.processes.ingest import Door

    Opener = Callable[..., AbstractAsyncContextManager[Door]]


async def page(request: Request) -> Response:
    seen = f"{request.url.path}?{request.url.query} {request.headers.get('cookie')}"
    return Response(seen, 203, {"X-Page": "yes", "Connection": "close"}, "text/html")


@asynccontextmanager
async def dashboard() -> AsyncIterator[str]:
    """A server with a page and, like every process, with probes of its own."""
    routes = [
        Route("/", page),
        Route("/dashboard/some", page),
        Route("/healthz", lambda _: PlainTextResponse("the dashboard's own")),
    ]
    settings = Settings(host="127.0.0.1", port=0)
    async with http_server.serve(Starlette(routes=routes), settings) as server:
        yield f"http://127.0.0.1:{server.port}"


async def test_pages_come_from_the_dashboard(opening: Opener) -> None:
    async with dashboard() as url, opening(dashboard_url=url) as door:
        reply = await door.client.get("/", headers={"Cookie": "secret"})
        assert (reply.status_code, reply.text) == (203, "/? None")
        assert reply.headers["content-type"] == "text/html; charset=utf-8"
        assert reply.headers["x-page"] == "yes"
        assert len(reply.headers.get_list("date")) == 1
        reply = await door.client.get("/dashboard/some?a=1&b=%2F")
        assert reply.text == "/dashboard/some?a=1&b=%2F None"
        reply = await door.client.head("/dashboard/some")
        assert (reply.status_code, reply.content) == (203, b"")
        reply = await door.client.get("/no/such/page")
        assert reply.status_code == 404
        assert reply.json()["error"]["code"] == "NOT_FOUND"  # it may be a mistyped call


async def test_what_ingest_knows_is_its_own(opening: Opener) -> None:
    async with dashboard() as url, opening(dashboard_url=url) as door:
        assert (await door.client.get("/healthz")).json() == {"status": "ok"}
        assert (await door.client.post("/")).status_code == 404
        assert (await door.client.put("/applications")).status_code == 405


async def test_a_dashboard_that_is_down_is_503(opening: Opener) -> None:
    async with opening(dashboard_url=f"http://127.0.0.1:{free_port()}") as door:
        reply = await door.client.get("/")
        assert reply.status_code == 503
        assert reply.json()["error"]["code"] == "UNAVAILABLE"
        assert int(reply.headers["retry-after"]) >= 1


async def test_without_a_dashboard_there_is_no_page(door: Door) -> None:
    reply = await door.client.get("/")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "NOT_FOUND")
