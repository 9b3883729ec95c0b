"""What holds for all of ``/api``: loading, methods, origins, rates."""

from __future__ import annotations

import asyncio
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from shortlist.http import local
from shortlist.ingest.api import gateway
from testkit.clients.contract import flaw

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from testkit.clients.hiring import HiringClient
    from testkit.processes.ingest import Door

    Opener = Callable[..., AbstractAsyncContextManager[Door]]

PATIENCE_SECONDS = 30
ELSEWHERE = {"origin": "http://192.0.2.7:5173", "sec-fetch-site": "cross-site"}
BODY = {"title": "Nurse", "capacity": 1}


async def test_submitting_does_not_wait_for_hiring_to_be_loaded(
    opening: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_load, load = asyncio.Event(), gateway._load

    async def load_late() -> Any:
        await may_load.wait()
        return await load()

    monkeypatch.setattr(gateway, "_load", load_late)
    try:
        async with opening(auth="off") as door:
            early = asyncio.create_task(door.client.get("/api/jobs"))
            await door.accept()  # served by the same loop, and not behind it
            assert not early.done()
            may_load.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert (await early).json() == []
    finally:
        may_load.set()


async def test_what_serves_has_its_turn_between_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, seen = 0, []

    async def serve() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def note(part: str) -> Any:
        seen.append(turns)
        return import_module(part)

    monkeypatch.setattr(gateway, "import_module", note)
    serving = asyncio.create_task(serve())
    await gateway._load()
    serving.cancel()
    assert len(seen) > 2
    assert all(earlier < later for earlier, later in pairwise(seen))


async def test_head_is_get_without_a_body(open_api: Door, hiring: HiringClient) -> None:
    job = await hiring.open(1)
    for path in ("/api/jobs", f"/api/jobs/{job['id']}", "/api/healthz"):
        got, asked = await open_api.client.get(path), await open_api.client.head(path)
        assert (asked.status_code, asked.content) == (200, b"")
        assert asked.headers["content-length"] == got.headers["content-length"] != "0"
    assert (await open_api.client.head("/api/jobs/9999")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/api/jobs", "GET, HEAD, POST"),
        ("DELETE", "/api/jobs/1", "GET, HEAD, PATCH"),
        ("GET", "/api/apply", "POST"),
        ("OPTIONS", "/api/apply", "POST"),
        ("POST", "/api/queue/1", "GET, HEAD"),
    ],
)
async def test_another_method_is_405_and_told_which_there_are(
    open_api: Door, method: str, path: str, allow: str
) -> None:
    reply = await open_api.client.request(method, path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert reply.headers["allow"] == allow


@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/api/jobs/", "/api/jobs/1/nothing"])
async def test_another_path_is_404_in_the_one_shape(open_api: Door, path: str) -> None:
    reply = await open_api.client.get(path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "NOT_FOUND")
    assert flaw(404, dict(reply.headers), reply.content) is None


async def pages_of_any_origin_are_answered(door: Door) -> None:
    ask = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    preflight = await door.client.options("/api/jobs", headers=ELSEWHERE | ask)
    assert preflight.status_code == 200
    assert preflight.headers.get("access-control-allow-origin") == "*"
    made = await door.client.post("/api/jobs", json=BODY, headers=ELSEWHERE)
    assert (made.status_code, made.headers.get("access-control-allow-origin")) == (201, "*")
    bad = await door.client.post("/api/jobs", json={}, headers=ELSEWHERE)
    assert (bad.status_code, bad.headers.get("access-control-allow-origin")) == (400, "*")


async def test_an_open_api_is_open_to_pages_of_any_origin(open_api: Door) -> None:
    """On a listener on loopback, too: a page may reach it through a proxy that keeps its origin."""
    await pages_of_any_origin_are_answered(open_api)
    named = await open_api.client.get("/api/jobs", headers={"host": "pages.example:5173"})
    assert named.status_code == 200
    submitted = await open_api.client.post("/job", json={"payload": "p"}, headers=ELSEWHERE)
    assert submitted.status_code == 403


async def test_with_keys_pages_of_other_sites_are_refused_as_ever(opening: Opener) -> None:
    async with opening() as door:
        made = await door.client.post("/api/jobs", json=BODY, headers=ELSEWHERE)
        assert (made.status_code, "access-control-allow-origin" in made.headers) == (403, False)
        asked = await door.client.get("/api/jobs")
        assert (asked.status_code, asked.json()["error"]["code"]) == (401, "UNAUTHORIZED")
        # Who may not call is told so before the body is looked at.
        body = await door.client.post("/api/jobs", content=b"{", headers={"content-type": "x/y"})
        assert body.status_code == 401


async def test_the_page_of_a_proxy_on_this_machine_is_no_other_site(opening: Opener) -> None:
    async with opening() as door:
        headers = {"origin": "http://localhost:5173", "sec-fetch-site": "same-origin"}
        public = {"name": "Eve", "email": "eve@example.com", "jobId": 9_999}
        reply = await door.client.post("/api/apply-public", json=public, headers=headers)
        assert reply.status_code == 404


async def test_off_switch_open_path(open_api: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    called = local.LocalOnly.__call__

    async def closed(self: Any, *arguments: Any) -> None:
        self._open_path = None
        await called(self, *arguments)

    monkeypatch.setattr(local.LocalOnly, "__call__", closed)
    with pytest.raises(AssertionError):
        await pages_of_any_origin_are_answered(open_api)


async def test_clients_are_limited_and_told_what_is_left(opening: Opener) -> None:
    async with opening(auth="off", rate_limit_per_second=0.01, rate_limit_burst=2) as door:
        replies = [await door.client.get("/api/jobs") for _ in range(2)]
        # `/healthz` is not counted.
        assert [r.headers["ratelimit-remaining"] for r in replies] == ["1", "0"]
        refused = await door.client.get("/api/jobs")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "RATE_LIMITED")
        assert int(refused.headers["retry-after"]) > 1
        assert refused.headers["ratelimit-remaining"] == "0"


async def test_calls_are_counted_by_route_and_status(open_api: Door, hiring: HiringClient) -> None:
    await hiring.open(1)
    await open_api.client.get("/api/jobs/9999")
    await open_api.client.get("/api/nothing")
    text = (await open_api.client.get("/metrics")).text
    for route, status in (
        ("/api/jobs", "201"),
        ("/api/jobs/{jobId}", "404"),
        ("/api/{path}", "404"),
    ):
        assert f'shortlist_api_answers_total{{route="{route}",status="{status}"}}' in text
    assert 'shortlist_api_seconds_count{route="/api/jobs"}' in text
