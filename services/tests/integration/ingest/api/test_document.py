"""The document says what `/api` takes and answers; whatever it allows is answered without a 500."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from shortlist.ingest.api import app as api

if TYPE_CHECKING:
    from testkit.clients.hiring import HiringClient
    from testkit.processes.ingest import Door

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 40
"""Of each operation."""


@pytest.fixture
async def document(open_api: Door) -> dict[str, Any]:
    reply = await open_api.client.get("/openapi.json")
    assert reply.status_code == 200
    return dict(reply.json())


async def test_every_route_is_described(document: dict[str, Any]) -> None:
    routes = {(path, method.lower()) for path, method in api.calls()}
    described = {
        (path, method)
        for path, item in document["paths"].items()
        for method in item
        if path.startswith("/api/")
    }
    assert described == routes


async def test_every_type_that_is_named_is_there(document: dict[str, Any]) -> None:
    def named(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(named, value))
        if not isinstance(value, dict):
            return set()
        own = {value["$ref"].rpartition("/")[2]} if "$ref" in value else set()
        return own.union(*map(named, value.values()))

    types = document["components"]["schemas"]
    assert named(document) <= types.keys()
    assert not {"HTTPValidationError", "ValidationError"} & types.keys()


async def test_refusals_have_the_one_shape_and_say_when(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for operation in item.values() if path.startswith("/api/") else ():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Error"}, (path, status)
                assert ("Retry-After" in answer.get("headers", {})) is (status in {"429", "503"})


async def test_the_page_for_people_shows_it(open_api: Door) -> None:
    page = (await open_api.client.get("/docs")).text
    assert "POST /api/apply-public" in page
    assert "Take the place that was offered" in page


def attack(operation: Any, base_url: str) -> None:
    """Call one operation with whatever the document allows."""

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def call(case: Any) -> None:
        case.call_and_validate(base_url=base_url, checks=CHECKS, timeout=60)

    call()


@pytest.mark.timeout(300)
async def test_nothing_that_the_document_allows_is_a_500(
    open_api: Door, hiring: HiringClient, document: dict[str, Any]
) -> None:
    """And each answer is as described. Streams do not end, and are left out."""
    await hiring.fill(1, 4)
    schema = schemathesis.openapi.from_dict(document)
    attacked = 0
    for found in (
        schema.include(path_regex="^/api/").exclude(path="/api/events").get_all_operations()
    ):
        assert isinstance(found, Ok), found
        await asyncio.to_thread(attack, found.ok(), f"http://127.0.0.1:{open_api.port}")
        attacked += 1
    assert attacked > 25
