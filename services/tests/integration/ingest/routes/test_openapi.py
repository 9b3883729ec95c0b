"""The document describes the routes that there are, and the answers that they give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
import pytest
from starlette.routing import Route

from shortlist.ingest.routes import openapi
from shortlist.ingest.schemas import ApplicationStatus, JobStatus, Ranked
from testkit.processes.ingest import APPLICATION

if TYPE_CHECKING:
    from testkit.clients.dashboard import Applicants
    from testkit.processes.ingest import Door

NOT_DESCRIBED = {"/openapi.json", "/docs", "/docs/style.css", "/api/{path:path}"}
"""The routes of `/api` are described by themselves (`ingest/api/test_document.py`)."""
TYPES: dict[str, Any] = {
    "AcceptedApplication": openapi.AcceptedApplication,
    "AcceptedJob": openapi.AcceptedJob,
    "ApplicationStatus": ApplicationStatus,
    "Ranked": Ranked,
    "JobStatus": JobStatus,
    "Error": openapi.Error,
    "Health": openapi.Health,
}


@pytest.fixture
async def document(door: Door) -> dict[str, Any]:
    reply = await door.client.get("/openapi.json")
    assert reply.status_code == 200
    return dict(reply.json())


def test_every_route_is_described_with_its_methods(door: Door, document: dict[str, Any]) -> None:
    routes: dict[str, set[str]] = {}
    for route in door.ingest.app.routes:
        if isinstance(route, Route) and route.path not in NOT_DESCRIBED:
            routes.setdefault(route.path, set()).update(route.methods or ())
    described = {
        path: {method.upper() for method in item}
        for path, item in document["paths"].items()
        if not path.startswith("/api/")
    }
    # HEAD is implied (RFC 9110, 9.3.2), and described where it is more than that.
    assert {p: m | ({"HEAD"} if "GET" in m else set()) for p, m in described.items()} == routes


async def test_answers_are_as_described(
    door: Door, document: dict[str, Any], applicants: Applicants
) -> None:
    scored = await applicants.scored("Ada", 50.0)
    waiting = await applicants.pending(None)
    application, events = "/applications/{id}", "/applications/{id}/events"
    calls: list[tuple[str, str, str, dict[str, Any], int]] = [
        ("POST", "/applications", "", {"json": APPLICATION}, 202),
        ("POST", "/applications", "", {"content": b"{"}, 400),
        ("POST", "/applications", "", {"content": b"x" * 70_000}, 413),
        ("POST", "/applications", "", {"content": b"", "headers": {"Content-Encoding": "x"}}, 415),
        ("GET", "/applications", f"?ids={scored}", {}, 200),
        ("GET", "/applications", "", {}, 400),
        ("GET", application, str(scored), {}, 200),
        ("GET", application, str(uuid4()), {}, 404),
        ("HEAD", application, str(scored), {}, 200),
        ("HEAD", application, str(waiting), {}, 202),
        ("HEAD", application, str(uuid4()), {}, 404),
        ("GET", events, str(uuid4()), {}, 404),
        ("GET", "/leaderboard", "", {}, 200),
        ("GET", "/leaderboard", "?limit=x", {}, 400),
        ("POST", "/job", "", {"json": {"payload": "p"}}, 202),
        ("POST", "/job", "", {"json": {}}, 400),
        ("GET", "/status/{id}", str(scored), {}, 200),
        ("GET", "/status/{id}", str(waiting), {}, 425),
        ("GET", "/status/{id}", "1", {}, 404),
        ("GET", "/healthz", "", {}, 200),
        ("GET", "/readyz", "", {}, 200),
    ]
    for method, template, rest, arguments, status in calls:
        path = template.replace("{id}", rest) if "{id}" in template else template + rest
        reply = await door.client.request(method, path, **arguments)
        assert reply.status_code == status, (method, path, reply.text)
        described = document["paths"][template][method.lower()]["responses"][str(status)]
        for header in described.get("headers", {}):
            assert header in reply.headers, (method, path, header)
        if method != "HEAD":
            schema = described["content"][reply.headers["content-type"]]["schema"]
            check(reply.content, schema, document)


def check(content: bytes, schema: dict[str, Any], document: dict[str, Any]) -> None:
    """The answer is of the type that the schema was made from, and has no other fields."""
    is_list = schema.get("type") == "array"
    name = (schema["items"] if is_list else schema)["$ref"].rpartition("/")[2]
    one: Any = TYPES[name]
    msgspec.json.decode(content, type=list[one] if is_list else one)
    properties = document["components"]["schemas"][name]["properties"]
    values = msgspec.json.decode(content)
    for value in values if is_list else [values]:
        unknown = set(value) - set(properties)
        assert not unknown or name == "Health", unknown
