"""What all routes have in common: the order in which a call is looked at, and how it is refused.

Access first, then the body (length, encoding, JSON), then FastAPI: parameters and fields. Whatever
refuses a call on this way, the answer has the one shape of errors.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from shortlist.http.errors import ApiError, invalid
from shortlist.ingest.api.access import needed
from shortlist.ingest.api.callers import caller_of, parts_of
from shortlist.ingest.api.errors import answer_to
from shortlist.ingest.endpoint import JSON, Call

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import TypeAlias

    from pydantic import BaseModel
    from starlette.types import Message, Receive

    from shortlist.ingest.admission.quota import Quota
    from shortlist.ingest.endpoint import Answer

    Handler: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]

BODY_LIMIT_BYTES: Final = 262_144
"""A description of 20 000 characters, each written as an escape of six or twelve bytes, fits."""


PREFIX: Final = "/api"


def resource(name: str, route_class: type[ApiRoute] | None = None) -> APIRouter:
    """Make a router for the routes of a resource."""
    return APIRouter(
        prefix=PREFIX,
        tags=[name],
        route_class=route_class or ApiRoute,
        strict_content_type=False,  # `_json_of` looks at it
        generate_unique_id_function=attrgetter("name"),
    )


class ApiRoute(APIRoute):
    """A route of ``/api``."""

    def get_route_handler(self) -> Handler:
        """Return what answers a request in the order of this module."""
        need, path = needed(self.path, self.methods or ()), self.path
        handle = self.admitted_handler()

        async def answer(request: Request) -> Response:
            quota: Quota | None = None
            try:
                admitted = await request.app.state.access.admit(request.scope, need)
                request.state.admitted, quota = admitted, admitted.quota
                response = await handle(request)
            except Exception as error:  # in the one shape, a bug too
                response = as_response(answer_to(error, path))
            if quota is not None:
                response.raw_headers.extend(quota.headers())
            return response

        return answer

    def admitted_handler(self) -> Handler:
        """Return what answers a request that was let in."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def answer(request: Request) -> Response:
            sent, _ = await _json_of(request)
            return await handle(Request(request.scope, _replaying(sent)))

        return answer


class HotRoute(ApiRoute):
    """A route that is called by the thousand; its function takes a body, `Here` and `Acting`.

    FastAPI describes it, as any other. But its search for parameters takes longer than all else of
    a call, so the body is validated here, to the same answers.
    """

    def get_route_handler(self) -> Handler:
        """Return what answers a request; `answer` is the same."""
        self.answer = super().get_route_handler()
        return self.answer

    def admitted_handler(self) -> Handler:
        """Return what answers a request that was let in."""
        endpoint = self.endpoint
        body: type[BaseModel] = endpoint.__annotations__["body"]

        async def answer(request: Request) -> Response:
            sent, document = await _json_of(request)
            try:
                found = body.model_validate(document)
            except ValidationError as error:
                raise RequestValidationError(
                    [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
                ) from None
            response: Response = await endpoint(found, parts_of(request), caller_of(request, sent))
            return response

        return answer


def as_response(answer: Answer) -> Response:
    """Make the framework's answer of ours."""
    response = Response(answer.body, answer.status)
    response.raw_headers.extend([JSON, *answer.headers])
    return response


async def _json_of(request: Request) -> tuple[bytes, Any]:
    """Read the body, which is JSON in UTF-8 or nothing: as it was sent, and parsed."""
    sent = await Call(request.scope, request.receive).body(BODY_LIMIT_BYTES)
    if not sent:
        return sent, None
    if not _is_json(request.headers.get("content-type", "application/json")):
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "Send JSON: application/json.")
    return sent, _parsed(sent)


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def _parsed(body: bytes) -> Any:
    """Parse JSON in UTF-8: no NaN, no lone surrogate, no document behind the first; 400 else."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # it may quote the input
        raise invalid("The body is not JSON in UTF-8.") from None


def _replaying(body: bytes) -> Receive:
    """Return what a request receives its body from once more."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    return receive
