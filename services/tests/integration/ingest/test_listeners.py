"""Which listener answers what: every route on every listener, in every arrangement of listeners."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from shortlist.dashboard.app import build_app
from shortlist.ingest import app as app_module
from shortlist.ingest.routes import dashboard_proxy as pages_module
from shortlist.runtime import http_server, probes
from shortlist.settings import Settings
from testkit.clients.bad_input import send
from testkit.processes.stack import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.requests import Request

    from shortlist.ingest.routes.listeners import Group
    from testkit.processes.ingest import Door

    Opener = Callable[..., AbstractAsyncContextManager[Door]]

GROUP: dict[str, Group] = {
    "/applications": "clients",
    "/applications/{id}": "clients",
    "/applications/{id}/events": "clients",
    "/job": "clients",
    "/status/{id}": "clients",
    "/api/{path:path}": "hiring",
    "/healthz": "probes",
    "/readyz": "probes",
    "/metrics": "metrics",
    "/leaderboard": "leaderboard",
    "/openapi.json": "docs",
    "/docs": "docs",
    "/docs/style.css": "docs",
    "/": "pages",
    "/dashboard/recent.json": "pages",
    "/dashboard/static": "pages",
}
"""Every route of ingest and of the dashboard behind it. A new one needs its row."""

EVERYTHING: set[Group] = {
    "clients", "hiring", "probes", "metrics", "leaderboard", "docs", "pages",
}  # fmt: skip
FOR_APPLICANTS: set[Group] = {"clients", "hiring", "probes"}

PUBLIC: dict[str, set[Group]] = {
    "one for all": EVERYTHING,
    "health": EVERYTHING - {"metrics"},
    "private": FOR_APPLICANTS,
    "private and health": FOR_APPLICANTS,
}
"""What the public listener serves, by which others there are."""

OTHERS: dict[str, set[Group]] = {"private": EVERYTHING, "health": {"probes", "metrics"}}

NOT_SERVED = (404, "There is nothing here.")
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")


@dataclass
class Listeners:
    """Ports by the names of their listeners, and an application that there is."""

    door: Door
    ports: dict[str, int]
    application: str

    def path(self, template: str) -> str:
        return template.replace("{id}", self.application).replace("{path:path}", "healthz")

    async def status(self, listener: str, method: str, template: str) -> int:
        base = f"http://127.0.0.1:{self.ports[listener]}"
        async with (
            httpx2.AsyncClient(base_url=base, timeout=60, trust_env=False) as client,
            client.stream(method, self.path(template)) as reply,
        ):
            return reply.status_code


async def anything(_: Request) -> Response:
    return PlainTextResponse("the dashboard's own", 203)


@asynccontextmanager
async def opened(opening: Opener, arrangement: str) -> AsyncIterator[Listeners]:
    """An ingest whose dashboard answers whatever it is asked."""
    others = {"private": free_port(), "health": free_port()}
    ports = {name: port for name, port in others.items() if name in arrangement}
    everywhere = Starlette(routes=[Route("/{path:path}", anything)])
    async with (
        http_server.serve(everywhere, Settings(host="127.0.0.1", port=0)) as dashboard,
        opening(
            dashboard_url=f"http://127.0.0.1:{dashboard.port}",
            private_port=ports.get("private"),
            metrics_port=ports.get("health"),
        ) as door,
    ):
        yield Listeners(door, {"public": door.port, **ports}, await door.accept())


async def each_route_is_served_where_it_belongs(opening: Opener, arrangement: str) -> None:
    async with opened(opening, arrangement) as listeners:
        for listener in listeners.ports:
            served = OTHERS.get(listener, PUBLIC[arrangement])
            for template, group in GROUP.items():
                status = await listeners.status(listener, "GET", template)
                assert (status != 404) is (group in served), (listener, template, status)
                if group == "pages" and group in served:
                    assert status == 203, (listener, template)


@pytest.mark.parametrize("arrangement", PUBLIC)
async def test_each_route_is_served_where_it_belongs(opening: Opener, arrangement: str) -> None:
    await each_route_is_served_where_it_belongs(opening, arrangement)


def _serves_all(groups: Any, _: object) -> list[Any]:
    return [route for routes in groups.values() for route in routes]


def _serves_others(groups: Any, serves: Any) -> list[Any]:
    """What is not here is taken for a page."""
    return [route for group in groups if group in serves for route in groups[group]]


@pytest.mark.parametrize(
    ("name", "instead", "arrangement"),
    [
        ("_served", _serves_all, "private"),
        ("_served", _serves_all, "health"),
        ("_served", _serves_others, "health"),
        ("_hidden", lambda path: Route(path, anything), "private"),
    ],
)
async def test_off_switch_listeners(
    opening: Opener, name: str, instead: Any, arrangement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, name, instead)
    with pytest.raises(AssertionError):
        await each_route_is_served_where_it_belongs(opening, arrangement)


async def test_every_route_has_a_row(door: Door) -> None:
    dashboard = build_app(cast("Any", None)).routes
    known = {cast("Any", route).path for route in (*door.ingest.app.all_routes, *dashboard)}
    assert known == GROUP.keys()
    assert all(isinstance(route, Route | Mount) for route in dashboard)


async def test_what_is_not_served_is_not_there_whatever_the_method(opening: Opener) -> None:
    async with opened(opening, "private and health") as listeners:
        hidden = [path for path, group in GROUP.items() if group not in FOR_APPLICANTS]
        for method in METHODS:
            for template in (*hidden, "/no/such/page"):
                status = await listeners.status("public", method, template)
                assert status == 404, (method, template)
        for template in hidden:
            reply = await listeners.door.client.get(template)
            error = reply.json()["error"]
            assert (reply.status_code, error["message"]) == NOT_SERVED
            assert error["code"] == "NOT_FOUND"


DETOURS = [
    "/x/../metrics", "/./metrics", "/x/%2e%2e/metrics", "//metrics", "/%6detrics", "/metrics/",
    "/x/../leaderboard", "http://localhost/metrics", "/metrics?x=1", "/metrics%3F", "/METRICS",
    "/metrics;x", "/dashboard/../metrics",
]  # fmt: skip


async def no_detour_leads_to_the_dashboards_metrics(opening: Opener) -> None:
    """The dashboard has some, too: no way of writing a path may have ingest ask for them."""
    async with (
        dashboard_with_metrics() as url,
        opening(dashboard_url=url, metrics_port=free_port()) as door,
    ):
        for path in DETOURS:
            reply = await send(
                door.port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            assert reply.status in {400, 404}, path


@asynccontextmanager
async def dashboard_with_metrics() -> AsyncIterator[str]:
    settings = Settings(host="127.0.0.1", port=0)
    routes = probes.public_probe_routes(probes.always_ok, settings)
    async with http_server.serve(build_app(cast("Any", None), routes), settings) as server:
        yield f"http://127.0.0.1:{server.port}"


async def test_no_detour_leads_to_the_dashboards_metrics(opening: Opener) -> None:
    await no_detour_leads_to_the_dashboards_metrics(opening)


async def test_off_switch_detours(opening: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_module, "_may_be_a_page", lambda _: True)
    with pytest.raises(AssertionError):
        await no_detour_leads_to_the_dashboards_metrics(opening)


async def test_the_contracts_are_whole_on_the_public_listener(opening: Opener) -> None:
    """What applicants and the job server's clients call, with everything else elsewhere."""
    async with opened(opening, "private and health") as listeners:
        client = listeners.door.client
        job = (await client.post("/job", json={"payload": "p"})).json()["id"]
        assert (await client.get(f"/status/{job}")).status_code == 425
        assert (await client.get(f"/status/{job}0")).status_code == 404
        application = listeners.application
        assert (await client.get(f"/applications?ids={application}")).status_code == 200
        assert (await client.head(f"/applications/{application}")).status_code == 202
        assert (await client.put("/applications")).status_code == 405
        assert await listeners.status("private", "POST", "/job") == 400


async def test_the_description_tells_of_what_is_served(opening: Opener) -> None:
    async with opened(opening, "health") as listeners:
        described = (await listeners.door.client.get("/openapi.json")).json()["paths"]
        assert "/metrics" not in described
        assert "/leaderboard" in described


async def test_a_dashboard_has_metrics_on_one_listener_only() -> None:
    """Its readiness is asked on both."""
    for port, expected in (
        (None, {"/healthz", "/readyz", "/metrics"}),
        (0, {"/healthz", "/readyz"}),
    ):
        routes = probes.public_probe_routes(probes.always_ok, Settings(metrics_port=port))
        assert {route.path for route in routes} == expected
