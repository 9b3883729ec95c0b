"""The way into ``/api``: what is there before FastAPI is, and loads it.

FastAPI and the models of `shortlist.hiring` take as long to import as all the rest of ingest. So
they are loaded once the listener serves, one part after the other with what serves in between, and
a call to ``/api`` waits until they are.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import structlog

from shortlist.ingest.endpoint import Call, ClientGoneError, count_call, headers, refusal
from shortlist.telemetry import traces
from shortlist.telemetry.metrics import API_ANSWERS, API_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence

    from prometheus_client import Counter, Histogram
    from starlette.types import Receive, Scope, Send

    from shortlist.domain.line.application import NewApplication
    from shortlist.http.connections import ConnectionTable
    from shortlist.ingest.admission.access import Access
    from shortlist.ingest.admission.line_registry import LineRegistry
    from shortlist.ingest.admission.rate_limit import ClientRates
    from shortlist.ingest.api.app import Hiring
    from shortlist.settings import IngestSettings
    from shortlist.storage.redis import Redis
    from shortlist.storage.redis.events import Announcements

_APP = "shortlist.ingest.api.app"

_ROUTE = "/api/{path}"
"""Of calls that no route takes, and of those that were refused before one was looked for."""

_PARTS = (
    "starlette.routing",
    "pydantic.networks",
    "fastapi",
    "shortlist.domain.hiring.acts",
    "shortlist.hiring.views",
    "shortlist.hiring.acts",
    "shortlist.hiring.reading",
    "shortlist.ingest.api.route",
    "shortlist.ingest.api.routes.jobs",
    "shortlist.ingest.api.routes.applications",
    "shortlist.ingest.api.routes.company",
    _APP,
)
"""What hiring imports, cut where it is cheap to: the longest, FastAPI, takes 60 ms."""

_PAUSE_SECONDS = 0.01
"""Between two parts, at least."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Needs:
    """What hiring needs of its process.

    Attributes:
        settings: where Postgres is, and whether ``/api`` is open to each client.
        lines: where payloads are scored.
        on_submitted: told after the commit of what is to be scored.
        redis: where this process's commits are announced.
        announcements: other processes' commits, which must be running.
        connections: bounds how many clients follow live events.
        access: lets clients in.
    """

    settings: IngestSettings
    lines: LineRegistry
    on_submitted: Callable[[Sequence[NewApplication]], None]
    redis: Redis
    announcements: Announcements
    connections: ConnectionTable
    access: Access


class Gateway:
    """Answers ``/api``: an ASGI application."""

    def __init__(self, needs: Needs, clients: ClientRates | None) -> None:
        """``clients`` limits how often each calls; nothing is loaded before `run`."""
        self._needs = needs
        self._clients = clients
        self._hiring: Hiring | None = None
        self._loaded = asyncio.Event()

    async def run(self) -> None:
        """Load hiring, and keep its live events going, for ever."""
        module, app = await _load()
        self._hiring = module.Hiring(self._needs, app)
        self._loaded.set()
        await self._hiring.feed.run()

    async def hiring(self) -> Hiring:
        """Return what was loaded; wait until it is."""
        await self._loaded.wait()
        assert self._hiring is not None
        return self._hiring

    @property
    def postgres_connections(self) -> int:
        """Count the connections that Postgres counts as hiring's."""
        return 0 if self._hiring is None else self._hiring.postgres_connections

    def end_streams(self) -> None:
        """Have every stream of live events end now."""
        if self._hiring is not None:
            self._hiring.feed.end()

    async def finish(self) -> None:
        """Wait until every act that was asked for has been answered."""
        if self._hiring is not None:
            await self._hiring.acts.finish()

    async def close(self) -> None:
        """Close the connections to Postgres."""
        if self._hiring is not None:
            await self._hiring.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = Call(scope, receive)
        answering = _Answering(call, send)
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else dict(scope)
        traceparent = call.headers.get(b"traceparent", b"").decode("latin-1")
        with traces.request_span(scope["method"], _ROUTE, traceparent) as span:
            try:
                await self._answer(call, inner, receive, answering)
            except (ClientGoneError, asyncio.CancelledError):  # cancelled: stopped at once
                return
            route = getattr(inner.get("route"), "path", _ROUTE)
            span.update_name(f"{scope['method']} {route}")
            span.set_attribute("http.route", route)
            span.set_attribute("http.response.status_code", answering.status)
        _measure(call, route, answering)

    async def _answer(
        self, call: Call, inner: Scope, receive: Receive, answering: _Answering
    ) -> None:
        try:
            if self._clients is not None:
                count_call(self._clients, call)
            hiring = await self.hiring()
            hot = hiring.hot.get((inner["method"], inner["path"]))
            is_of_a_page = b"origin" in call.headers  # whose answers have more headers
            app = hiring.app if hot is None or is_of_a_page else hot
            await app(inner, receive, answering)
        except ClientGoneError:
            raise
        except Exception as error:  # a bug must not cost the connection
            answer = refusal(error, _ROUTE)
            if answering.status:
                raise  # in the middle of a stream: the connection tells it
            start = {"type": "http.response.start", "status": answer.status}
            await answering({**start, "headers": headers(answer, None)})
            await answering({"type": "http.response.body", "body": answer.body})


class _Answering:
    """Sends an answer, with what is left of the client's rate; remembers its status."""

    def __init__(self, call: Call, send: Send) -> None:
        self.status = 0
        self.is_stream = False
        self._call = call
        self._send = send

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if (quota := self._call.quota()) is not None:
                message = {**message, "headers": [*message["headers"], *quota.headers()]}
        elif message.get("more_body", False):
            self.is_stream = True
            if self._call.scope["method"] == "HEAD":  # it ends with its head (RFC 9110, 9.3.2)
                message = {"type": "http.response.body"}
        await self._send(message)


def _measure(call: Call, route: str, answering: _Answering) -> None:
    _answers(route, answering.status).inc()
    if not answering.is_stream:
        _seconds(route).observe(time.monotonic() - call.since)


@cache
def _answers(route: str, status: int) -> Counter:
    """Return the counter of a route's answers with a status: finding it takes 3 µs."""
    return API_ANSWERS.labels(route, str(status))


@cache
def _seconds(route: str) -> Histogram:
    return API_SECONDS.labels(route)


async def _load() -> tuple[Any, Any]:
    """Import hiring and make its routes, part by part.

    Not in a thread: on a busy machine the two threads take the interpreter from each other, and
    what serves was late by seconds.
    """
    for part in _PARTS:
        import_module(part)
        await asyncio.sleep(_PAUSE_SECONDS)
    module: Any = import_module(_APP)
    return module, module.make()
