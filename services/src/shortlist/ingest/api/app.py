"""Hiring in this process: its acts, its reads, its live events, and FastAPI in front of them.

Importing this takes most of a second: `gateway` does it in a thread.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match

from shortlist.hiring.acts import Acts
from shortlist.hiring.reading import Views
from shortlist.hiring.transactions import SESSION
from shortlist.ingest.api import document
from shortlist.ingest.api.callers import Parts
from shortlist.ingest.api.errors import answer_to
from shortlist.ingest.api.event_feed import EventFeed
from shortlist.ingest.api.route import PREFIX, HotRoute, as_response
from shortlist.ingest.api.routes import (
    applicants,
    applications,
    company,
    events,
    health,
    jobs,
    pipeline,
    transfer,
)
from shortlist.ingest.api.scoring import Scoring
from shortlist.storage.postgres.database import Database

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from shortlist.ingest.api.gateway import Needs
    from shortlist.settings import IngestSettings

_RESOURCES = (applications, jobs, applicants, pipeline, company, transfer, events, health)
"""Those that are called most stand first: routes are tried in turn."""

_SHOWN_TO_PAGES = (
    "Link", "Location", "Retry-After", "X-Total-Count",
    "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
)  # fmt: skip


class Hiring:
    """Hiring's parts, and the application that serves them."""

    def __init__(self, needs: Needs, app: FastAPI) -> None:
        """``needs``: what the process has; ``app``: as `make` made it."""
        self._writing, self._reading = _databases(needs.settings)
        views = Views(self._reading)
        self.feed = EventFeed(self._reading, views, needs.announcements, needs.redis)
        self.acts = Acts(
            self._writing, on_submitted=needs.on_submitted, on_committed=self.feed.committed
        )
        scoring = Scoring(needs.lines, views)
        app.state.parts = Parts(
            self.acts, views, self.feed, scoring, needs.connections, self._reading
        )
        app.state.access = needs.access
        self._fastapi = app
        self.app: ASGIApp = app
        if needs.settings.auth == "off":  # to pages of any origin
            self.app = CORSMiddleware(
                app,
                allow_origins=["*"],
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=_SHOWN_TO_PAGES,
            )

        self.hot: dict[tuple[str, str], ASGIApp] = {
            ("POST", route.path): _straight_to(route, app)
            for route in app.routes
            if isinstance(route, HotRoute)
        }

    @property
    def postgres_connections(self) -> int:
        """Count the connections that Postgres counts as ours."""
        return self._writing.open + self._reading.open

    async def close(self) -> None:
        """Close the connections."""
        await self._writing.close()
        await self._reading.close()

    def describe(self) -> dict[str, Any]:
        """Describe all routes: the paths and components of an OpenAPI document."""
        return document.describe(self._fastapi)


def _straight_to(route: HotRoute, app: FastAPI) -> ASGIApp:
    """Return what answers a route's calls as ``app`` does, without all that is around routes."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"], scope["route"] = app, route
        response = await route.answer(Request(scope, receive))
        await response(scope, receive, send)

    return answer


def _databases(settings: IngestSettings) -> tuple[Database, Database]:
    """Make what acts write by, and what reads read by."""
    writing = settings.hiring_connections // 2
    database = partial(
        Database, settings.database_url, timeout_seconds=settings.commit_timeout_seconds
    )
    return (
        database(name="shortlist-ingest act", connections=writing, settings=SESSION),
        database(name="shortlist-ingest view", connections=settings.hiring_connections - writing),
    )


def make() -> FastAPI:
    """Make the application of all routes; `Hiring` tells it who answers."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for module in _RESOURCES:
        app.router.routes.extend(module.router.routes)  # not included: that is made by a first call
    app.add_exception_handler(HTTPException, _refuse)
    return app


def calls() -> set[tuple[str, str]]:
    """Name each route: its path, and its method."""
    return {
        (route.path, method)
        for module in _RESOURCES
        for route in module.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer what no route takes: another path (404), or another method (405)."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:  # noqa: PLR2004
        error = HTTPException(405, "This method is not for this path", _allowed(request))
    return as_response(answer_to(error, PREFIX))


def _allowed(request: Request) -> dict[str, str]:
    """Name the methods of all routes of a path (RFC 9110, 15.5.6)."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")
    return {"Allow": ", ".join(sorted(methods))}
