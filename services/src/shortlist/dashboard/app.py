"""The dashboard's routes: the page, what updates it, and its own style and script."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from shortlist.dashboard import view
from shortlist.http.security_headers import SECURITY_HEADERS
from shortlist.storage.faults import is_outage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from shortlist.dashboard.snapshot_reader import SnapshotReader

RETRY_AFTER_SECONDS = 2

_UNAVAILABLE = {
    "error": {"message": "Postgres does not answer.", "code": "UNAVAILABLE", "details": None}
}

_log = structlog.get_logger(__name__)

_templates = Environment(
    loader=PackageLoader("shortlist.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def build_app(reader: SnapshotReader, more_routes: Sequence[BaseRoute] = ()) -> Starlette:
    """Build the application; ``more_routes`` are the probes."""
    routes = [
        Route("/", _page),
        Route("/dashboard/recent.json", _recent),
        Mount("/dashboard/static", StaticFiles(packages=[("shortlist.dashboard", "static")])),
        *more_routes,
    ]
    app = Starlette(routes=routes, middleware=[Middleware(SecurityHeaders)])
    app.router.redirect_slashes = False  # it would name this process's own address
    app.state.reader = reader
    return app


async def _page(request: Request) -> Response:
    try:
        page = await _read(request)
    except Exception as error:
        if not is_outage(error):
            raise
        _log.warning("postgres_unavailable", error=repr(error))
        return _html("unavailable.html", 503, retry_after_seconds=RETRY_AFTER_SECONDS)
    return _html("recent.html", 200, page=page)


async def _recent(request: Request) -> Response:
    try:
        page = await _read(request)
    except Exception as error:
        if not is_outage(error):
            raise
        return _json(_UNAVAILABLE, 503)
    return _json(page, 200)


async def _read(request: Request) -> view.Page:
    reader: SnapshotReader = request.app.state.reader
    snapshot = await reader.snapshot()
    return view.page(snapshot, snapshot.read_at)


def _html(template: str, status: int, **values: Any) -> Response:
    body = _templates.get_template(template).render(**values)
    return HTMLResponse(body, status, headers=_fresh(status))


def _json(value: Any, status: int) -> Response:
    body = msgspec.json.encode(value)
    return Response(body, status, headers=_fresh(status), media_type="application/json")


def _fresh(status: int) -> dict[str, str]:
    retry = {} if status == HTTPStatus.OK else {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return {"Cache-Control": "no-store", **retry}


class SecurityHeaders:
    """Puts the same headers on every answer of every route."""

    def __init__(self, app: ASGIApp) -> None:
        """``app`` is what answers."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, send_with_headers)
