"""The part of the OpenAPI document that is made from the routes of ``/api``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shortlist.ingest.schemas import KEY_LIMIT_CHARACTERS

if TYPE_CHECKING:
    from fastapi import FastAPI

_ERRORS = {
    400: "The request cannot be understood, or is not allowed; `error.details` names the fields.",
    401: "There is no key, or it is not valid.",
    403: "The key lacks the scope.",
    404: "There is no such thing.",
    408: "The request did not arrive in time.",
    409: "It is not possible as things are now.",
    410: "The time for it has passed.",
    413: "The body is over the limit.",
    415: "The body is not JSON, or has a Content-Encoding.",
    422: "The Idempotency-Key was used before, with another request.",
    429: "The client calls too often, or the line of scoring is full.",
    503: "Postgres does not answer; nothing was changed.",
}
_ALWAYS = (401, 403, 429, 503)
_WITH_BODY = (400, 408, 413, 415)
_WITH_RETRY_AFTER = (429, 503)

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same request gives the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LIMIT_CHARACTERS},
}
_RETRY_AFTER = {
    "description": "Seconds after which it is worth trying again.",
    "schema": {"type": "integer"},
}


def refuses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the refusals that a route has of its own."""
    return {status: _refusal(status) for status in statuses}


def _refusal(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    described: dict[str, Any] = {
        "description": _ERRORS[status],
        "content": {"application/json": {"schema": schema}},
    }
    if status in _WITH_RETRY_AFTER:
        described["headers"] = {"Retry-After": _RETRY_AFTER}
    return described


def describe(app: FastAPI) -> dict[str, Any]:
    """Make the paths and components of all routes; the schema `Error` is the other part's."""
    document = app.openapi()
    for path in document["paths"].values():
        for method, operation in path.items():
            _complete(operation)
            if method in ("post", "patch"):
                operation["parameters"].append(_IDEMPOTENCY_KEY)
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document


def _complete(operation: dict[str, Any]) -> None:
    """Say what every route may answer, in place of what FastAPI takes for granted."""
    responses = operation["responses"]
    content = responses.get("422", {}).get("content", {}).get("application/json", {})
    if content.get("schema", {}).get("$ref", "").endswith("/HTTPValidationError"):
        del responses["422"]
    operation.setdefault("parameters", [])
    operation["summary"] = operation["description"].partition("\n")[0].rstrip(".")
    statuses = [*_ALWAYS, *(_WITH_BODY if "requestBody" in operation else ())]
    for status in statuses:
        responses.setdefault(str(status), _refusal(status))
