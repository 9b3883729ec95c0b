"""Bad input of every route: a 4xx in the one shape, and not one row changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shortlist.ingest.api import app as api
from testkit.clients import bad_hiring_input as bad
from testkit.clients.contract import flaw

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection
    from testkit.clients.hiring import HiringClient
    from testkit.processes.ingest import Door

TABLES = (
    "openings", "applicants", "placements", "opening_events", "hiring_actions", "hiring_answers",
    "placement_scores", "applications",
)  # fmt: skip


async def rows(db: Connection) -> dict[str, Any]:
    """What all tables hold."""
    return {
        table: await db.fetchval(
            f"SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} t"
        )
        for table in TABLES
    }


async def known(hiring: HiringClient) -> bad.Known:
    job, results = await hiring.fill(1, 2)
    await hiring.withdraw((await hiring.fill(1, 1))[1][0]["applicationId"])
    return bad.Known(job, results[1]["applicantId"], results[1]["applicationId"])


async def test_bad_input_is_refused_and_changes_nothing(
    open_api: Door, hiring: HiringClient, db: Connection
) -> None:
    there = await known(hiring)
    before = await rows(db)
    flaws = []
    for call in bad.calls(there):
        headers = {name.encode(): value.encode("latin-1") for name, value in call.headers.items()}
        if call.body:
            headers.setdefault(b"content-type", b"application/json")
        reply = await open_api.client.request(
            call.method, f"/api{call.path}", content=call.body, headers=headers
        )
        is_right = reply.status_code == call.status if call.status else reply.is_client_error
        if not is_right:
            flaws.append(f"{call}: {reply.status_code} {reply.text[:150]}")
        elif (wrong := flaw(reply.status_code, dict(reply.headers), reply.content)) is not None:
            flaws.append(f"{call}: {wrong}")
    assert not flaws, "\n".join(flaws)
    assert await rows(db) == before


async def test_a_stale_key_and_hours_without_end_are_told_by_field(open_api: Door) -> None:
    body = {
        "title": "", "capacity": 0, "fillFrom": "2027-01-02T00:00:00Z",
        "closesAt": "2027-01-01T00:00:00Z",
    }  # fmt: skip
    reply = await open_api.client.post("/api/jobs", json=body)
    assert [one["field"] for one in reply.json()["error"]["details"]] == ["title", "capacity"]
    reply = await open_api.client.post("/api/jobs", json=body | {"title": "N", "capacity": 1})
    assert [one["field"] for one in reply.json()["error"]["details"]] == ["fillFrom"]


async def test_what_is_good_is_taken(open_api: Door, hiring: HiringClient) -> None:
    """The bodies that the table spoils are fine without it, and with fields that are not known."""
    wrong = {}
    for route in bad.good_bodies(bad.Known(1, 1, 1)).keys() - {"POST /acknowledge"}:
        there = await known(hiring)
        body = bad.good_bodies(there)[route]
        if route == "POST /apply":
            newcomer = await hiring.register(f"New {there.job}")
            body["applicantId"] = newcomer["id"]
        if "email" in body:
            body["email"] = f"new.{there.job}@example.com"
        reply = await open_api.client.request(
            route.partition(" ")[0],
            f"/api{bad.path(route, there)}",
            json=body | {"unknown": {"field": [1]}},
        )
        if not reply.is_success:
            wrong[route] = (reply.status_code, reply.text)
    assert not wrong


async def test_every_route_has_bad_input_in_the_table() -> None:
    routes = {f"{method} {path.removeprefix('/api')}" for path, method in api.calls()}
    tried = {call.route for call in bad.calls(bad.Known(1, 1, 1))}
    assert routes - tried == {"GET /healthz"}


async def test_an_idempotency_key_gives_the_first_answer_again(
    open_api: Door, db: Connection
) -> None:
    http, key = open_api.client, {"idempotency-key": "one"}
    body = {"title": "Nurse", "capacity": 1}
    first = await http.post("/api/jobs", json=body, headers=key)
    other_layout = json.dumps(dict(reversed(body.items())), indent=1)
    headers = key | {"content-type": "application/json"}
    again = await http.post("/api/jobs", content=other_layout, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    before = await rows(db)
    other = await http.post("/api/jobs", json=body | {"capacity": 2}, headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert await rows(db) == before
    elsewhere = await http.post(
        "/api/applicants", json={"name": "A", "email": "a@example.com"}, headers=key
    )
    assert elsewhere.status_code == 201
