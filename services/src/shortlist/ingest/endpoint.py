"""Endpoints: ASGI applications around plain functions from a call to an answer.

The contracts' routes are called thousands of times a second, so nothing here is more than it has to
be: headers are a dict of bytes, a body is read once, an answer is a tuple. Every endpoint turns
errors into the one shape, adds the quota's headers, and records a span when traces are wanted.
"""

from __future__ import annotations

import asyncio
import time
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias
from urllib.parse import parse_qs

import structlog
from starlette.responses import StreamingResponse

from shortlist.domain.errors import ShortlistError
from shortlist.http.errors import ApiError, error_body, invalid, rate_limited, unavailable
from shortlist.ingest.admission.line_capacity import LineFullError
from shortlist.storage.unavailable import DatabaseUnavailableError
from shortlist.telemetry import traces
from shortlist.telemetry.metrics import REFUSED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from shortlist.ingest.admission.quota import Quota
    from shortlist.ingest.admission.rate_limit import ClientRates

    Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
    Handler: TypeAlias = Callable[["Call"], Awaitable["Answer | Verbatim | Stream"]]

JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")

_log = structlog.get_logger(__name__)


class ClientGoneError(ShortlistError):
    """The client hung up before its request was whole: no answer can reach it."""


class Answer(NamedTuple):
    """A whole answer; JSON unless the headers say otherwise."""

    status: int
    body: bytes = b""
    headers: Headers = ()


class Verbatim(NamedTuple):
    """A whole answer whose headers say what its body is."""

    status: int
    body: bytes
    headers: Headers


def _nothing() -> None:
    pass


class Stream(NamedTuple):
    """An answer that comes in pieces."""

    status: int
    chunks: AsyncIterator[bytes]
    headers: Headers = ()
    close: Callable[[], None] = _nothing
    """Called at its end, even when no client came to take the first piece."""


class Call:
    """A request, its body, and the quotas that its answer shows."""

    __slots__ = ("_receive", "headers", "quotas", "scope", "since")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        """Of a header that was sent twice the last one counts."""
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self.since = time.monotonic()
        """When the request began; once it has a body, when that was whole: how long a client takes
        to send it is not our time."""
        self.quotas: dict[Literal["client", "line"], Callable[[], Quota]] = {}
        """What limits this call, as far as it is known: each returns what is left of it now."""

    async def body(self, limit_bytes: int) -> bytes:
        """Read the whole body; 413 when it is too long, 415 when it is encoded."""
        if self.headers.get(b"content-encoding", b"identity") != b"identity":
            raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "Send the body without an encoding.")
        if int(self.headers.get(b"content-length", 0)) > limit_bytes:
            raise _too_large(limit_bytes)
        message = await self._receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body", False) and len(body) <= limit_bytes:
            message = await self._receive()
            body += message.get("body", b"")
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        self.since = time.monotonic()
        return body

    def quota(self) -> Quota | None:
        """Return what the client may still do, by its own rate or by the line."""
        if not self.quotas:
            return None
        return min((quota() for quota in self.quotas.values()), key=attrgetter("remaining"))


def _too_large(limit_bytes: int) -> ApiError:
    return ApiError(413, "PAYLOAD_TOO_LARGE", f"A body may have at most {limit_bytes} bytes.")


class Endpoint:
    """Serves one route as an ASGI application."""

    def __init__(self, route: str, handle: Handler, clients: ClientRates | None = None) -> None:
        """``route`` is the template, for spans; ``clients`` limits how often each may call."""
        self._route = route
        self._handle = handle
        self._clients = clients

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = Call(scope, receive)
        traceparent = call.headers.get(b"traceparent", b"").decode("latin-1")
        with traces.request_span(scope["method"], self._route, traceparent) as span:
            try:
                answer = await self._answer(call)
            except (ClientGoneError, asyncio.CancelledError):  # cancelled: stopped at once
                return
            span.set_attribute("http.response.status_code", answer.status)
            if isinstance(answer, Stream):
                try:
                    await _stream(call, answer, receive, send)
                finally:
                    answer.close()
            else:
                await _send(call, answer, send)

    async def _answer(self, call: Call) -> Answer | Verbatim | Stream:
        try:
            if self._clients is not None:
                count_call(self._clients, call)
            return await self._handle(call)
        except ClientGoneError:
            raise
        except Exception as error:  # a bug must not cost the connection
            return refusal(error, self._route)


def count_call(clients: ClientRates, call: Call) -> None:
    """Count a call of its client; 429 when it is one too many."""
    wait, quota = clients.take(call.scope, time.monotonic())
    call.quotas["client"] = lambda: quota
    if wait:
        REFUSED.labels("rate").inc()
        raise rate_limited("The rate limit of this client is reached.", wait)


def refusal(error: Exception, route: str) -> Answer:
    """Make the answer to a call that failed; a bug is logged."""
    known = as_api_error(error)
    if known is not None:
        return Answer(known.status, known.body(), known.headers)
    _log.error("internal_error", route=route, exc_info=error)
    return Answer(500, error_body("Internal error.", "INTERNAL_ERROR"))


def as_api_error(error: Exception) -> ApiError | None:
    """Map an error to what a client is answered; None: it is a bug."""
    if isinstance(error, DatabaseUnavailableError):
        return unavailable(str(error))
    if isinstance(error, LineFullError):
        return rate_limited(str(error), error.retry_after_seconds)
    return error if isinstance(error, ApiError) else None


def headers(answer: Answer, quota: Quota | None) -> list[tuple[bytes, bytes]]:
    """Make all of an answer's headers but those that the server adds."""
    length = (b"content-length", b"%d" % len(answer.body))
    return [JSON, length, *answer.headers, *_quota_headers(quota)]


async def _send(call: Call, answer: Answer | Verbatim, send: Send) -> None:
    if isinstance(answer, Verbatim):
        length = _length(answer, call.scope["method"])
        all_headers = [*answer.headers, *length, *_quota_headers(call.quota())]
    else:
        all_headers = headers(answer, call.quota())
    start = {"type": "http.response.start", "status": answer.status}
    await send({**start, "headers": all_headers})
    await send({"type": "http.response.body", "body": answer.body})


def _length(answer: Verbatim, method: str) -> Headers:
    """Make the length that it lacks, where it may have one (RFC 9110, 8.6)."""
    has_none = method == "HEAD" or answer.status in (204, 304)
    if has_none or any(name == b"content-length" for name, _ in answer.headers):
        return ()
    return ((b"content-length", b"%d" % len(answer.body)),)


async def _stream(call: Call, answer: Stream, receive: Receive, send: Send) -> None:
    all_headers = [*answer.headers, *_quota_headers(call.quota())]
    if _is_head(call):  # it ends with its head (RFC 9110, 9.3.2)
        start = {"type": "http.response.start", "status": answer.status, "headers": all_headers}
        await send(start)
        await send({"type": "http.response.body"})
        return
    response = StreamingResponse(answer.chunks, answer.status)
    response.raw_headers = all_headers
    await response(call.scope, receive, send)


def _is_head(call: Call) -> bool:
    return bool(call.scope["method"] == "HEAD")


def _quota_headers(quota: Quota | None) -> Headers:
    return () if quota is None else quota.headers()


def query(call: Call) -> dict[str, list[str]]:
    """Parse the query's parameters; 400 when there are too many."""
    try:
        return parse_qs(
            call.scope["query_string"].decode("latin-1"),
            keep_blank_values=True,
            max_num_fields=500,
        )
    except ValueError:
        raise invalid("The query has too many parameters.") from None
