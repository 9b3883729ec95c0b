"""Who may call what: keys in every state, and scoring's routes where a setting closes them."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest

from shortlist.domain.access import SCOPES, SECRET_BYTES, digest_of_key, key_of
from shortlist.domain.networks import NO_PROXIES
from shortlist.http.errors import ApiError
from shortlist.ingest.admission import api_keys as keys_module
from shortlist.ingest.admission.access import CLOSED, WITHOUT_KEY, Access
from shortlist.ingest.admission.api_keys import ApiKeys
from shortlist.ingest.admission.rate_limit import ClientRate, ClientRates
from shortlist.storage.unavailable import DatabaseUnavailableError
from testkit.hiring.keys import bearer, expire, make_key, revoke
from testkit.processes.ingest import APPLICATION, open_door
from testkit.processes.stack import free_port
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from shortlist.ingest.admission.access import Need
    from shortlist.ingest.routes.listeners import Group
    from shortlist.storage.postgres import Connection
    from testkit.processes.ingest import Door

    Opener = Callable[..., AbstractAsyncContextManager[Door]]

READ: Need = frozenset({"read"})


def request(key: str | None = None, client: str = "192.0.2.1", scheme: str = "Bearer") -> Any:
    """What an ASGI server says of a request."""
    headers = [] if key is None else [(b"authorization", f"{scheme} {key}".encode())]
    return {"type": "http", "headers": headers, "client": (client, 1)}


async def refusal(access: Access, scope: Any, need: Need) -> tuple[int, str, dict[bytes, bytes]]:
    with pytest.raises(ApiError) as refused:
        await access.admit(scope, need)
    return refused.value.status, refused.value.code, dict(refused.value.headers)


@pytest.fixture
async def access(door: Door) -> Access:
    return door.ingest.access


async def test_a_key_with_the_scope_is_let_in_and_named(access: Access, db: Connection) -> None:
    key = await make_key(db, "read", "apply")
    admitted = await access.admit(request(key), READ)
    key_id = await db.fetchval("SELECT id FROM api_keys")
    assert (admitted.actor.kind, admitted.actor.reference) == ("key", str(key_id))


async def test_each_of_a_routes_scopes_is_enough(access: Access, db: Connection) -> None:
    either: Need = frozenset({"apply", "manage"})
    for scope in SCOPES:
        key = await make_key(db, scope)
        if scope in either:
            await access.admit(request(key), either)
        else:
            assert (await refusal(access, request(key), either))[:2] == (403, "FORBIDDEN")


async def test_a_key_without_the_scope_is_told_which_it_lacks(
    access: Access, db: Connection
) -> None:
    key = await make_key(db, "apply", "manage", "scoring")
    status, code, headers = await refusal(access, request(key), READ)
    assert (status, code) == (403, "FORBIDDEN")
    assert b'scope="read"' in headers[b"www-authenticate"]


async def test_without_a_key_that_holds_the_answer_is_401(access: Access, db: Connection) -> None:
    expired, revoked, good = [await make_key(db) for _ in range(3)]
    await expire(db, expired)
    await revoke(db, revoked)
    foreign = key_of(secrets.token_bytes(SECRET_BYTES))
    for scope in (
        request(),
        request(expired),
        request(revoked),
        request(foreign),
        request(""),
        request("sl_é"),
        request(good + "x"),
        request(good, scheme="Basic"),
    ):
        status, code, headers = await refusal(access, scope, READ)
        assert (status, code) == (401, "UNAUTHORIZED")
        assert headers[b"www-authenticate"].startswith(b"Bearer ")


async def test_a_key_that_does_not_hold_is_refused_where_none_is_needed(access: Access) -> None:
    foreign = key_of(secrets.token_bytes(SECRET_BYTES))
    assert (await refusal(access, request(foreign), "public"))[0] == 401
    assert (await access.admit(request(), "public")).actor == WITHOUT_KEY
    assert (await access.admit(request(), "open")).actor == WITHOUT_KEY


async def a_revoked_key_is_refused_within_seconds(access: Access, db: Connection) -> None:
    key = await make_key(db)
    await access.admit(request(key), READ)
    await revoke(db, key)

    async def refused() -> bool:
        try:
            await access.admit(request(key), READ)
        except ApiError as error:
            return error.status == 401
        return False

    began = time.monotonic()
    await until(refused, within_seconds=10, what="the key is refused")
    assert time.monotonic() - began < 2 * keys_module.BELIEVED_SECONDS + 1


async def test_a_revoked_key_is_refused_within_seconds(access: Access, db: Connection) -> None:
    await a_revoked_key_is_refused_within_seconds(access, db)


async def test_off_switch_what_was_found_is_believed_for_ever(
    access: Access, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "BELIEVED_SECONDS", float("inf"))
    with pytest.raises(AssertionError):
        await a_revoked_key_is_refused_within_seconds(access, db)


async def test_many_who_ask_at_once_are_few_queries(door: Door, db: Connection) -> None:
    good = [await make_key(db) for _ in range(20)]
    wrong = [key_of(secrets.token_bytes(SECRET_BYTES)) for _ in range(500)]
    keys = CountingKeys(door)
    found = await asyncio.gather(*(keys.find(key) for key in [*good, *wrong] * 2))
    assert sum(key is not None for key in found) == 2 * len(good)
    assert keys.queries <= 3


class CountingKeys(ApiKeys):
    """Counts what it asks of Postgres."""

    def __init__(self, door: Door) -> None:
        super().__init__(door.ingest._reading)
        self.queries = 0

    async def _look_up(self, *batch: Any) -> Any:
        self.queries += 1
        return await super()._look_up(*batch)


async def test_the_last_use_is_written_once_a_minute(
    door: Door, access: Access, db: Connection
) -> None:
    key = await make_key(db)
    assert await last_use(db, key) is None

    async def written() -> bool:
        await access.admit(request(key), READ)
        return await last_use(db, key) is not None

    await until(written, within_seconds=10, what="the use is written")
    first = await last_use(db, key)
    again = ApiKeys(door.ingest._reading)  # another ingest
    assert await again.find(key) is not None
    await again.write_uses()
    assert await last_use(db, key) == first


async def last_use(db: Connection, key: str) -> object:
    return await db.fetchval(
        "SELECT last_used_at FROM api_keys WHERE digest = $1", digest_of_key(key)
    )


async def test_a_postgres_that_is_away_opens_nothing(redis_url: str) -> None:
    away = "postgresql://x@127.0.0.1:1/x"
    async with open_door(away, redis_url, commit_timeout_seconds=0.3) as door:
        key = key_of(secrets.token_bytes(SECRET_BYTES))
        with pytest.raises(DatabaseUnavailableError):
            await door.ingest.access.admit(request(key), READ)


async def test_where_keys_are_off_everything_is_open(opening: Opener) -> None:
    async with opening(auth="off") as door:
        assert (await door.ingest.access.admit(request(), READ)).actor == WITHOUT_KEY
        assert (await door.ingest.access.admit(request("x"), READ)).actor == WITHOUT_KEY


def limited(burst: int, around: int) -> Access:
    """By address, and by the network around it."""
    return Access(
        ApiKeys.__new__(ApiKeys),  # not asked: no key is sent
        [
            ClientRates(ClientRate(0.01, burst), NO_PROXIES, 64),
            ClientRates(ClientRate(0.01, around), NO_PROXIES, 48, 24),
        ],
    )


async def test_clients_without_a_key_are_limited_by_address() -> None:
    access = limited(2, 100)
    left = [(await access.admit(request(), "public")).quota for _ in range(2)]
    assert [quota and quota.remaining for quota in left] == [1, 0]
    status, code, headers = await refusal(access, request(), "public")
    assert (status, code) == (429, "RATE_LIMITED")
    assert int(headers[b"retry-after"]) > 1
    assert headers[b"ratelimit-remaining"] == b"0"
    await access.admit(request(client="192.0.2.2"), "public")
    await access.admit(request(), "open")


async def test_clients_without_a_key_are_limited_by_the_network_around_them() -> None:
    access = limited(2, 3)
    for host in (1, 2, 3):
        await access.admit(request(client=f"192.0.2.{host}"), "public")
    assert (await refusal(access, request(client="192.0.2.4"), "public"))[0] == 429
    await access.admit(request(client="198.51.100.1"), "public")


# --- scoring's routes

GROUP: dict[str, Group] = {
    "POST /applications": "clients",
    "GET /applications": "clients",
    "GET /applications/{id}": "clients",
    "HEAD /applications/{id}": "clients",
    "GET /applications/{id}/events": "clients",
    "POST /job": "clients",
    "GET /status/{id}": "clients",
    "GET /leaderboard": "leaderboard",
    "GET /": "pages",
    "GET /dashboard/recent.json": "pages",
    "GET /healthz": "probes",
    "GET /readyz": "probes",
    "GET /metrics": "metrics",
    "GET /docs": "docs",
    "GET /docs/style.css": "docs",
    "GET /openapi.json": "docs",
}
"""What `CLOSED` closes, by method and path. A new route needs its row."""


async def status(door: Door, call: str, headers: dict[str, str] | None = None) -> int:
    method, _, template = call.partition(" ")
    path = template.replace("{id}", "01900000-0000-7000-8000-000000000000")
    async with door.client.stream(method, path, headers=headers) as reply:
        return reply.status_code


@pytest.mark.parametrize("setting", CLOSED)
async def test_scoring_is_open_to_whom_the_setting_says(
    opening: Opener, db: Connection, setting: Any
) -> None:
    async with opening(scoring_auth=setting) as door:
        scoring, others = await make_key(db, "scoring"), await make_key(db, "read", "manage")
        for call, group in GROUP.items():
            is_closed = group in CLOSED[setting]
            found = [
                await status(door, call, headers)
                for headers in (None, bearer(others), bearer(scoring))
            ]
            expected = [401, 403] if is_closed else [found[2]] * 2
            assert found[:2] == expected, (setting, call)
            assert found[2] not in {401, 403}, (setting, call)


async def test_every_route_of_scoring_has_a_row(door: Door) -> None:
    paths = {call.partition(" ")[2] for call in GROUP}
    routes = {getattr(route, "path", "") for route in door.ingest.app.all_routes}
    assert {path for path in routes if not path.startswith("/api")} <= paths


async def test_the_private_listener_asks_for_no_key(opening: Opener) -> None:
    port = free_port()
    async with opening(scoring_auth="all", private_port=port) as door:
        assert (await door.client.post("/applications", json=APPLICATION)).status_code == 401
        private = f"http://127.0.0.1:{port}/applications"
        assert (await door.client.post(private, json=APPLICATION)).status_code == 202


async def test_an_application_with_a_key_is_accepted(opening: Opener, db: Connection) -> None:
    async with opening(scoring_auth="all") as door:
        headers = bearer(await make_key(db, "scoring"))
        reply = await door.client.post("/applications", json=APPLICATION, headers=headers)
        assert reply.status_code == 202
        assert await status(door, f"GET {reply.headers['location']}", headers) == 200
