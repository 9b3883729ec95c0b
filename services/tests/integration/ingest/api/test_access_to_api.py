"""Every route of ``/api`` against every client: without a key, and with each kind of key."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest
from starlette.routing import Route

from shortlist.domain.access import SCOPES, SECRET_BYTES, key_of
from shortlist.ingest.admission.access import WITHOUT_KEY, Access, Admitted
from shortlist.ingest.api import access as access_module
from shortlist.ingest.api.app import make
from testkit.hiring.keys import bearer, expire, make_key, revoke
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from shortlist.storage.postgres import Connection
    from testkit.processes.ingest import Door

    Opener = Callable[..., AbstractAsyncContextManager[Door]]

EVERY_CLIENT = "every client"

MAY: dict[str, str] = {
    "GET /api/healthz": EVERY_CLIENT,
    "POST /api/apply-public": EVERY_CLIENT,
    "GET /api/jobs": "read",
    "GET /api/jobs/{jobId}": "read",
    "GET /api/jobs/{jobId}/entries": "read",
    "GET /api/jobs/{jobId}/export": "read",
    "GET /api/applicants": "read",
    "GET /api/applicants/{applicantId}": "read",
    "GET /api/applicants/{applicantId}/export": "read",
    "GET /api/applications/{applicationId}": "read",
    "GET /api/status/{applicantId}": "read",
    "GET /api/timeline/{applicantId}": "read",
    "GET /api/queue/{jobId}": "read",
    "GET /api/pipeline/{jobId}/summary": "read",
    "GET /api/pipeline/{jobId}/replay": "read",
    "GET /api/pipeline/{jobId}/verify": "read",
    "GET /api/events": "read",
    "POST /api/apply": "apply",
    "POST /api/acknowledge": "apply",
    "POST /api/withdraw": "apply manage",
    "POST /api/applicants": "apply manage",
    "POST /api/jobs": "manage",
    "PATCH /api/jobs/{jobId}": "manage",
    "POST /api/jobs/{jobId}/close": "manage",
    "POST /api/jobs/{jobId}/reopen": "manage",
    "POST /api/jobs/{jobId}/end": "manage",
    "POST /api/jobs/{jobId}/actions": "manage",
    "POST /api/jobs/{jobId}/import": "manage",
    "POST /api/actions/{actionId}/undo": "manage",
    "DELETE /api/applicants/{applicantId}": "manage",
}
"""Who may call what: the scopes of which a key needs one. A new route needs its row."""

REFUSED = {401, 403}


def routes() -> set[str]:
    """All that is served under ``/api``, by method and path."""
    return {
        f"{method} {route.path}"
        for route in make().routes
        if isinstance(route, Route)
        for method in route.methods or ()
    }


def test_every_route_has_a_row() -> None:
    assert routes() == MAY.keys()


def test_off_switch_a_route_without_a_need_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {call: need for call, need in access_module.NEEDS.items() if call != "GET /jobs"}
    monkeypatch.setattr(access_module, "NEEDS", others)
    with pytest.raises(KeyError):
        access_module.needed("/api/jobs", {"GET"})


async def clients(db: Connection) -> Mapping[str, dict[str, str]]:
    """The headers of each kind of client."""
    expired, revoked = await make_key(db), await make_key(db)
    await expire(db, expired)
    await revoke(db, revoked)
    foreign = key_of(secrets.token_bytes(SECRET_BYTES))
    return {
        "no key": {},
        "expired": bearer(expired),
        "revoked": bearer(revoked),
        "foreign": bearer(foreign),
        **{scope: bearer(await make_key(db, scope)) for scope in SCOPES},
    }


def expected(call: str, client: str) -> int | None:
    """How a client is refused; None: it is not."""
    may = MAY[call]
    if client in {"expired", "revoked", "foreign"}:
        return None if call == "GET /api/healthz" else 401
    if may == EVERY_CLIENT:
        return None
    if client == "no key":
        return 401
    return None if client in may.split() else 403


async def status(door: Door, call: str, headers: dict[str, str]) -> int:
    """The answer to a call of something that is not there, with a body that says nothing."""
    method, _, template = call.partition(" ")
    path = "/".join("0" if part.startswith("{") else part for part in template.split("/"))
    body = b"{" if method in {"POST", "PATCH"} else None
    async with door.client.stream(method, path, headers=headers, content=body) as reply:
        return reply.status_code


async def each_client_may_call_what_the_table_says(opening: Opener, db: Connection) -> None:
    async with opening(public_rate_limit_burst=1000) as door:
        for client, headers in (await clients(db)).items():
            for call in MAY:
                found = await status(door, call, headers)
                wanted = expected(call, client)
                assert (found if found in REFUSED else None) == wanted, (client, call, found)
                assert found < 500, (client, call, found)
        assert await db.fetchval("SELECT count(*) FROM openings") == 0
        assert await db.fetchval("SELECT count(*) FROM applicants") == 0


async def test_each_client_may_call_what_the_table_says(opening: Opener, db: Connection) -> None:
    await each_client_may_call_what_the_table_says(opening, db)


async def test_off_switch_every_key_may_do_everything(
    opening: Opener, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def admit_all(*_: object) -> Admitted:
        return Admitted(WITHOUT_KEY)

    monkeypatch.setattr(Access, "admit", admit_all)
    with pytest.raises(AssertionError):
        await each_client_may_call_what_the_table_says(opening, db)


async def test_head_asks_for_what_get_asks_for(opening: Opener, db: Connection) -> None:
    async with opening() as door:
        assert await status(door, "HEAD /api/jobs", {}) == 401
        assert await status(door, "HEAD /api/jobs", bearer(await make_key(db, "read"))) == 200


async def test_where_keys_are_off_every_client_may_call_everything(opening: Opener) -> None:
    async with opening(auth="off") as door:
        for call in MAY:
            assert await status(door, call, bearer("x")) not in REFUSED, call


async def test_clients_without_a_key_are_told_what_is_left_and_then_to_wait(
    opening: Opener, db: Connection
) -> None:
    async with opening(public_rate_limit_burst=2, public_rate_limit_per_second=0.01) as door:
        replies = [await door.client.post("/api/apply-public", json={}) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [400, 400, 429]
        assert int(replies[2].headers["retry-after"]) > 1
        assert replies[2].headers["ratelimit-remaining"] == "0"
        with_key = bearer(await make_key(db, "apply"))
        reply = await door.client.post("/api/apply-public", json={}, headers=with_key)
        assert reply.status_code == 400


async def a_stream_ends_when_its_key_is_revoked(opening: Opener, db: Connection) -> None:
    async with opening() as door:
        reading, managing = await make_key(db, "read"), bearer(await make_key(db, "manage"))
        new = {"title": "x", "capacity": 1}
        job = (await door.client.post("/api/jobs", json=new, headers=managing)).json()["id"]
        async with door.client.stream(
            "GET", f"/api/events?jobId={job}", headers=bearer(reading)
        ) as reply:
            lines = reply.aiter_lines()
            assert (await anext(lines)).startswith("retry: ")
            await revoke(db, reading)

            async def refused() -> bool:
                again = await door.client.get("/api/jobs", headers=bearer(reading))
                return again.status_code == 401

            await until(refused, within_seconds=30, what="the key is refused")
            await door.client.post(f"/api/jobs/{job}/close", json={}, headers=managing)
            async with asyncio.timeout(10):
                told = [line async for line in lines if line.startswith("data:")]
            assert told == []


async def test_a_stream_ends_when_its_key_is_revoked(opening: Opener, db: Connection) -> None:
    await a_stream_ends_when_its_key_is_revoked(opening, db)


async def test_off_switch_a_stream_that_was_admitted_goes_on(
    opening: Opener, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def still_may(_: object) -> bool:
        return True

    monkeypatch.setattr(access_module, "_still_may", still_may)
    with pytest.raises(TimeoutError):
        await a_stream_ends_when_its_key_is_revoked(opening, db)
