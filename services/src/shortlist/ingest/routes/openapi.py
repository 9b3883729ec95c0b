"""The OpenAPI document, made from the types that the routes decode and encode.

The routes decode and encode by themselves, so no framework could describe them; a test compares
this table with the routes, and real answers with the schemas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import msgspec

from shortlist.domain.line.application import PIPELINE_NAME_PATTERN
from shortlist.ingest.routes.status import IDS_LIMIT, LEADERBOARD_DEFAULT, LEADERBOARD_LIMIT
from shortlist.ingest.schemas import (
    KEY_LIMIT_CHARACTERS,
    ApplicationBody,
    ApplicationStatus,
    JobBody,
    JobStatus,
    Ranked,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class AcceptedApplication(msgspec.Struct):
    """It is committed, and will be scored."""

    id: UUID
    status: Literal["pending"]


class AcceptedJob(msgspec.Struct):
    """It is committed, and will be worked on."""

    id: str


class ErrorDetail(msgspec.Struct):
    """``code`` is for programs, ``message`` for people."""

    message: str
    code: str
    details: Any


class Error(msgspec.Struct):
    """The one shape of all errors."""

    error: ErrorDetail


class Health(msgspec.Struct):
    """More fields say why."""

    status: Literal["ok", "unavailable"]


_TYPES = (
    ApplicationBody,
    JobBody,
    AcceptedApplication,
    AcceptedJob,
    ApplicationStatus,
    Ranked,
    JobStatus,
    Error,
    Health,
)

_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Retry-After": ("Seconds after which it is worth trying again.", {"type": "integer"}),
    "Location": ("Where to ask about it.", {"type": "string"}),
    "RateLimit-Limit": ("Calls, or places in the line, that there are.", {"type": "integer"}),
    "RateLimit-Remaining": ("Those that are left.", {"type": "integer"}),
    "RateLimit-Reset": ("Seconds until the quota is whole again.", {"type": "integer"}),
}
_QUOTA = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")

_ERRORS = {
    400: "The request cannot be understood, or is not allowed; `error.message` says why.",
    404: "There is no such thing.",
    405: "This method is not for this path.",
    408: "The request did not arrive in time.",
    413: "The body is over the limit.",
    415: "The body has a Content-Encoding.",
    422: "The Idempotency-Key was used before, with another body.",
    429: "The line is full, or the client calls too often.",
    431: "The request's head is too large.",
    503: "Postgres does not answer; nothing was accepted.",
}
_WITH_RETRY_AFTER = (429, 503)
_SUBMISSION_ERRORS = (400, 408, 413, 415, 422, 429, 503)

_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same body answers the first id again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LIMIT_CHARACTERS},
}
_IDS = {
    "name": "ids",
    "in": "query",
    "required": True,
    "style": "form",
    "explode": False,
    "schema": {
        "type": "array",
        "minItems": 1,
        "maxItems": IDS_LIMIT,
        "items": {"type": "string", "format": "uuid"},
    },
}
_LIMIT = {
    "name": "limit",
    "in": "query",
    "schema": {
        "type": "integer",
        "minimum": 1,
        "maximum": LEADERBOARD_LIMIT,
        "default": LEADERBOARD_DEFAULT,
    },
}
_PIPELINE = {
    "name": "pipeline",
    "in": "query",
    "schema": {"type": "string", "default": "default", "pattern": PIPELINE_NAME_PATTERN},
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event that was received: it is not sent again.",
    "schema": {"type": "string"},
}
_EVENT_STREAM = {
    "type": "string",
    "description": (
        "Server-sent events (WHATWG HTML, 9.2). Each has the name `status`, an `id`, and as its "
        "data the JSON of an ApplicationStatus; comments in between show that the stream lives."
    ),
    "contentMediaType": "text/event-stream",
    "examples": [
        'event: status\nid: 0.pending\ndata: {"id":"…","candidate":"Ada","status":"pending"}\n\n'
    ],
}

Schema = Annotated[dict[str, Any], "JSON Schema"]


def document(
    title: str, version: str, served: Collection[str], hiring: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Make the whole document, OpenAPI 3.1, of the paths that are ``served``.

    ``hiring``: the document of ``/api``, whose paths and types become part of this one.
    """
    _, components = msgspec.json.schema_components(
        _TYPES, ref_template="#/components/schemas/{name}"
    )
    paths = {path: item for path, item in _paths().items() if path in served}
    if hiring is not None:
        paths |= hiring["paths"]
        types = hiring["components"]["schemas"]
        assert types.keys().isdisjoint(components), "two types have one name"
        components |= types
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": components},
    }


def _paths() -> dict[str, Any]:
    return _application_paths() | _following_paths() | _job_server_paths() | _operators_paths()


def _application_paths() -> dict[str, Any]:
    status = _ref("ApplicationStatus")
    return {
        "/applications": {
            "post": _operation(
                "Submit an application",
                {202: _answer("Accepted", _ref("AcceptedApplication"), "Location", *_QUOTA)},
                _SUBMISSION_ERRORS,
                parameters=[_IDEMPOTENCY_KEY],
                body="ApplicationBody",
            ),
            "get": _operation(
                "Many applications; those that are unknown are left out",
                {200: _answer("In the order asked", {"type": "array", "items": status})},
                (400, 429, 503),
                parameters=[_IDS],
            ),
        },
        "/applications/{id}": {
            "get": _operation(
                "One application",
                {200: _answer("As it is now", status)},
                (404, 429, 503),
                parameters=[_ID],
            ),
            "head": _operation(
                "One application's state as a status code",
                {
                    200: _answer("Scored"),
                    202: _answer("In line, or being scored"),
                    404: _answer("Unknown"),
                    410: _answer("Failed for good"),
                },
                (),
                parameters=[_ID],
            ),
        },
    }


def _following_paths() -> dict[str, Any]:
    return {
        "/applications/{id}/events": {
            "get": _operation(
                "Each change of status until the final one, as server-sent events `status`",
                {
                    200: _answer("The stream", _EVENT_STREAM, content_type="text/event-stream"),
                    204: _answer("The final event was received before: do not come back"),
                },
                (404, 429, 503),
                parameters=[_ID, _LAST_EVENT_ID],
            ),
        },
        "/leaderboard": {
            "get": _operation(
                "Best first; ties by who was accepted first",
                {200: _answer("Ranked", {"type": "array", "items": _ref("Ranked")})},
                (400, 429, 503),
                parameters=[_LIMIT, _PIPELINE],
            ),
        },
    }


def _job_server_paths() -> dict[str, Any]:
    return {
        "/job": {
            "post": _operation(
                "Submit a job: an application whose candidate is anonymous",
                {202: _answer("Accepted", _ref("AcceptedJob"), *_QUOTA)},
                _SUBMISSION_ERRORS,
                parameters=[_IDEMPOTENCY_KEY],
                body="JobBody",
            ),
        },
        "/status/{id}": {
            "get": _operation(
                "A job, in the job server's words",
                {
                    200: _answer("COMPLETED", _ref("JobStatus")),
                    425: _answer("PENDING or PROCESSING", _ref("JobStatus")),
                },
                (404, 429, 503),
                parameters=[_ID],
            ),
        },
    }


def _operators_paths() -> dict[str, Any]:
    return {
        "/healthz": {"get": _operation("Whether the process lives", _HEALTH, ())},
        "/readyz": {"get": _operation("Whether it can accept", _HEALTH, ())},
        "/metrics": {
            "get": _operation(
                "Prometheus metrics",
                {200: _answer("Metrics", {"type": "string"}, content_type="text/plain")},
                (),
            ),
        },
    }


def _operation(
    summary: str,
    answers: dict[int, dict[str, Any]],
    errors: tuple[int, ...],
    *,
    parameters: list[dict[str, Any]] | None = None,
    body: str | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": parameters or [],
        "responses": {str(status): answer for status, answer in answers.items()}
        | {str(status): _error(status) for status in errors},
    }
    if body is not None:
        content = {"application/json": {"schema": _ref(body)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _answer(
    description: str,
    schema: Schema | None = None,
    *headers: str,
    content_type: str = "application/json",
) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": description}
    if schema is not None:
        answer["content"] = {content_type: {"schema": schema}}
    if headers:
        answer["headers"] = {name: _header(name) for name in headers}
    return answer


def _error(status: int) -> dict[str, Any]:
    headers = ("Retry-After",) if status in _WITH_RETRY_AFTER else ()
    return _answer(_ERRORS[status], _ref("Error"), *headers)


def _header(name: str) -> dict[str, Any]:
    description, schema = _HEADERS[name]
    return {"description": description, "schema": schema}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_HEALTH = {200: _answer("Yes", _ref("Health")), 503: _answer("No", _ref("Health"))}
