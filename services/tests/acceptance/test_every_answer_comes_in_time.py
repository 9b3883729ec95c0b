"""Every answer within 2 s, whatever is away, on every route that there is, for many at once."""

from __future__ import annotations

import json
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from starlette.routing import Mount, Route

from shortlist.dashboard.app import build_app
from shortlist.ingest.main import Ingest
from shortlist.settings import Settings
from support.stack import Stack, status_of
from support.swift import Ask, Timed, wave
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from starlette.routing import BaseRoute

    from support.servers import Servers
    from support.stack import Service

IN_TIME_SECONDS = 2.0
MOST_ALLOWANCE_SECONDS = 2.0
CLIENTS = 60
ROUTES_AT_ONCE = 6
ID = "01900000-0000-7000-8000-000000000000"
APPLICATION = {"candidate": "Ada", "payload": "p"}


def body(**fields: str) -> bytes:
    return json.dumps(APPLICATION | fields).encode()


def post(target: str, *headers: str, **fields: str) -> Callable[[int], Ask]:
    return lambda port: Ask(port, "POST", target, body(**fields), headers)


def get(target: str, method: str = "GET") -> Callable[[int], Ask]:
    return lambda port: Ask(port, method, target)


def both(target: str, path: str | None = None) -> dict[tuple[str, str], list[Callable[[int], Ask]]]:
    """A route that is read: GET, and HEAD as GET."""
    return {(m, path or target): [get(target, m)] for m in ("GET", "HEAD")}


PROBES = both("/healthz") | both("/readyz") | both("/metrics")
INGEST = {
    ("POST", "/applications"): [
        post("/applications"),
        post("/applications", pipeline="no-such"),
        post("/applications", "Idempotency-Key: k"),
    ],
    ("GET", "/applications"): [get(f"/applications?ids={ID}")],
    ("HEAD", "/applications"): [get(f"/applications?ids={ID}", "HEAD")],
    **both(f"/applications/{ID}", "/applications/{id}"),
    **both(f"/applications/{ID}/events", "/applications/{id}/events"),
    ("GET", "/leaderboard"): [get("/leaderboard"), get("/leaderboard?pipeline=no-such")],
    ("HEAD", "/leaderboard"): [get("/leaderboard", "HEAD")],
    ("POST", "/job"): [post("/job")],
    **both(f"/status/{ID}", "/status/{id}"),
    **PROBES,
    **both("/openapi.json"),
    **both("/docs"),
    **both("/docs/style.css"),
    # Whatever is not in the table is asked of the dashboard.
    ("GET", ""): [get("/"), get("/no/such/page"), get("/dashboard/static/dashboard.css")],
    ("HEAD", ""): [get("/", "HEAD")],
}
DASHBOARD = {
    **both("/"),
    **both("/dashboard/recent.json"),
    ("GET", "/dashboard/static"): [get("/dashboard/static/dashboard.css")],
    **PROBES,
}


def table(routes: list[BaseRoute]) -> set[tuple[str, str]]:
    """Methods and paths of all routes."""
    found = set()
    for route in routes:
        if isinstance(route, Mount):
            found.add(("GET", route.path))
        else:
            assert isinstance(route, Route), route
            found |= {(method, route.path) for method in route.methods or ()}
    return found


async def test_every_route_has_a_row() -> None:
    ingest = Ingest(Settings())
    rest = {("GET", ""), ("HEAD", "")}
    assert table(ingest.door.all_routes) | rest == set(INGEST)
    probes = set(PROBES)
    app = build_app(None)  # type: ignore[arg-type] # only looked at
    assert table(list(app.routes)) | probes == set(DASHBOARD)


@asynccontextmanager
async def processes(
    directory: Path, servers: Servers, *, unguarded: str = "", wait: bool = True
) -> AsyncIterator[tuple[Service, Service]]:
    """An ingest and a dashboard, with the time-outs that they have by themselves."""
    timeout = Settings.model_fields["commit_timeout_seconds"].default
    async with Stack(
        directory, servers.postgres.url, servers.redis.url, commit_timeout_seconds=timeout
    ) as stack:
        dashboard = await stack.start("dashboard", wait=False, unguarded=unguarded)
        ingest = await stack.start(
            "ingest", wait=False, unguarded=unguarded, dashboard_url=dashboard.url
        )
        for process in (dashboard, ingest):
            await (process.ready() if wait else listens(process))
        yield ingest, dashboard


async def listens(process: Service) -> None:
    async def look() -> bool:
        return await status_of(f"{process.url}/healthz") == 200

    await until(look, what=f"{process.name} listens")


def asks(ingest: Service, dashboard: Service | None = None) -> list[Ask]:
    """Every row of ingest's table, and of the dashboard's while it is there."""
    found = [make(ingest.port) for row in INGEST.values() for make in row]
    if dashboard is not None:
        found += [make(dashboard.port) for row in DASHBOARD.values() for make in row]
    return found


async def all_in_time(all_asks: list[Ask], *, control: Service) -> list[Timed]:
    """Ask in waves; each answer within 2 s and what the machine itself takes: ``/healthz``."""
    answers = []
    for start in range(0, len(all_asks), ROUTES_AT_ONCE):
        some = all_asks[start : start + ROUTES_AT_ONCE]
        idle = Ask(control.port, "GET", "/healthz")
        last = await wave([*some, idle], CLIENTS)
        answers += [answer for answer in last if answer.ask is not idle]
        allowance = max(answer.seconds for answer in last if answer.ask is idle)
        allowance = min(allowance, MOST_ALLOWANCE_SECONDS)
        slowest = max(last, key=lambda answer: answer.seconds)
        assert slowest.seconds <= IN_TIME_SECONDS + allowance, f"late: {slowest} (+{allowance:.2f})"
    assert_honest(answers)
    return answers


def assert_honest(answers: list[Timed]) -> None:
    """Each has an answer, and one that refuses says when to try again."""
    for answer in answers:
        assert answer.status in {200, 202, 400, 404, 503}, str(answer)
        assert answer.status != 503 or "\r\nretry-after: " in answer.head, answer.head


async def frozen_postgres(servers: Servers) -> Callable[[], Coroutine[None, None, None]]:
    servers.freeze_postgres()

    async def thaw() -> None:
        servers.thaw_postgres()

    return thaw


async def stopped_postgres(servers: Servers) -> Callable[[], Coroutine[None, None, None]]:
    await servers.stop_postgres(signal.SIGQUIT)
    return servers.start_postgres


async def frozen_redis(servers: Servers) -> Callable[[], Coroutine[None, None, None]]:
    servers.freeze_redis()

    async def thaw() -> None:
        servers.thaw_redis()

    return thaw


async def stopped_redis(servers: Servers) -> Callable[[], Coroutine[None, None, None]]:
    await servers.stop_redis(signal.SIGKILL)
    return servers.start_redis


FAULTS = [frozen_postgres, stopped_postgres, frozen_redis, stopped_redis]


@pytest.mark.slow
@pytest.mark.quiet
async def test_every_route_answers_in_time_whatever_is_away(
    tmp_path: Path, servers: Servers
) -> None:
    async with processes(tmp_path, servers) as (ingest, dashboard):
        for away in FAULTS:
            back = await away(servers)
            await all_in_time(asks(ingest, dashboard), control=ingest)
            await back()
            await ingest.ready()
            await dashboard.ready()
        dashboard.freeze()
        await all_in_time(asks(ingest), control=ingest)
        servers.freeze_postgres()  # both at once
        await all_in_time(asks(ingest), control=ingest)
        servers.thaw_postgres()
        dashboard.remove()
        await dashboard.exit_code()
        await all_in_time(asks(ingest), control=ingest)


@pytest.mark.slow
@pytest.mark.quiet
@pytest.mark.parametrize("away", [frozen_postgres, stopped_postgres])
async def test_every_route_answers_in_time_when_postgres_was_never_there(
    tmp_path: Path,
    servers: Servers,
    away: Callable[[Servers], Coroutine[None, None, Callable[[], Coroutine[None, None, None]]]],
) -> None:
    back = await away(servers)
    async with processes(tmp_path, servers, wait=False) as (ingest, dashboard):
        answers = await all_in_time(asks(ingest, dashboard), control=ingest)
        assert {a.status for a in answers if a.ask.method == "POST"} == {503}
        await back()
        await ingest.ready()


async def some_are_late(ingest: Service, target: str) -> None:
    (ask,) = [ask for ask in asks(ingest) if ask.target == target and ask.method != "HEAD"]
    with pytest.raises(AssertionError, match=r"^late: "):
        await all_in_time([ask], control=ingest)


@pytest.mark.quiet
@pytest.mark.parametrize(
    ("unguarded", "target"),
    [
        ("one_look_for_all", "/leaderboard"),
        ("deadline_of_the_request", "/leaderboard"),
        ("deadline_of_the_request", f"/status/{ID}"),
    ],
)
async def test_off_switch_when_time_outs_follow_each_other_answers_are_late(
    tmp_path: Path, servers: Servers, unguarded: str, target: str
) -> None:
    servers.freeze_postgres()
    async with processes(tmp_path, servers, unguarded=unguarded, wait=False) as started:
        await some_are_late(started[0], target)
        servers.thaw_postgres()


@pytest.mark.quiet
async def test_off_switch_without_a_deadline_of_pages_a_frozen_dashboard_makes_them_late(
    tmp_path: Path, servers: Servers
) -> None:
    async with processes(tmp_path, servers, unguarded="page_deadline") as started:
        ingest, dashboard = started
        dashboard.freeze()
        await some_are_late(ingest, "/")
