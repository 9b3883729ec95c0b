"""All routes of this process.

The four that are called thousands of times a second are found before FastAPI is asked; everything
else takes the ordinary way. Both ways end in the same endpoints. One of the four is mostly answered
even before: see `hot`.
"""

from __future__ import annotations

from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from shortlist.http.errors import CODES, error_body
from shortlist.ingest import docs_page, openapi
from shortlist.ingest.http import Endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from shortlist.ingest.http import Handler
    from shortlist.ingest.pages import Pages
    from shortlist.ingest.quota import ClientQuotas
    from shortlist.ingest.statuses import Statuses
    from shortlist.ingest.submissions import Submissions
    from shortlist.ingest.watching import Watching

_APPLICATION = "/applications/"
_JOB = "/status/"


class FrontDoor:
    """The whole application: hot routes first."""

    def __init__(
        self,
        *,
        submissions: Submissions,
        statuses: Statuses,
        watching: Watching,
        pages: Pages,
        probes: Sequence[BaseRoute],
        quotas: ClientQuotas | None,
    ) -> None:
        """``quotas`` limit every route of the contracts, when there are any."""

        def endpoint(route: str, handle: Handler) -> Endpoint:
            return Endpoint(route, handle, quotas)

        self._applications = ByMethod(
            POST=endpoint("/applications", submissions.post_application),
            GET=endpoint("/applications", statuses.get_many),
        )
        self._application = ByMethod(
            GET=endpoint("/applications/{id}", statuses.get),
            HEAD=endpoint("/applications/{id}", statuses.head),
        )
        events = ByMethod(GET=endpoint("/applications/{id}/events", watching.events))
        leaderboard = ByMethod(GET=endpoint("/leaderboard", statuses.leaderboard))
        self._jobs = ByMethod(POST=endpoint("/job", submissions.post_job))
        self._job = ByMethod(GET=endpoint("/status/{id}", statuses.get_job))
        routes = [
            self._applications.route("/applications"),
            self._application.route("/applications/{id}"),
            events.route("/applications/{id}/events"),
            leaderboard.route("/leaderboard"),
            self._jobs.route("/job"),
            self._job.route("/status/{id}"),
            *probes,
        ]
        self.routes: Sequence[BaseRoute] = routes
        self._everything = _fastapi(routes, Endpoint("/{path}", pages.get))

    @property
    def all_routes(self) -> list[BaseRoute]:
        """The table: `routes` and what describes them; the dashboard is asked for the rest."""
        return self._everything.router.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._route(scope)(scope, receive, send)

    def _route(self, scope: Scope) -> ASGIApp:
        path = scope["path"]
        resource: ByMethod | None = None
        if path == "/applications":
            resource = self._applications
        elif path == "/job":
            resource = self._jobs
        elif path.startswith(_APPLICATION) and path.find("/", len(_APPLICATION)) < 0:
            resource = self._application
        elif path.startswith(_JOB) and path.find("/", len(_JOB)) < 0:
            resource = self._job
        found = resource and resource.endpoints.get(scope["method"])
        return found or self._everything


class ByMethod:
    """The endpoints of one path. HEAD is answered as GET where it has none of its own."""

    def __init__(self, **endpoints: Endpoint) -> None:
        """Endpoints by the names of their methods."""
        self.endpoints = endpoints

    def route(self, path: str) -> Route:
        """As the framework wants it; other methods get 405."""
        return Route(path, self, methods=list(self.endpoints))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whose method is known to be one of ours."""
        endpoint = self.endpoints.get(scope["method"]) or self.endpoints["GET"]
        await endpoint(scope, receive, send)


def _fastapi(routes: Sequence[BaseRoute], otherwise: Endpoint) -> FastAPI:
    app = FastAPI(
        title="Shortlist",
        version=version("shortlist"),
        summary="Accepts applications in milliseconds, scores them behind a line, ranks them.",
        docs_url=None,  # its page is a third party's script from the internet
        redoc_url=None,
        redirect_slashes=False,
    )
    # Made once: that takes milliseconds, in which no other request is answered.
    app.openapi = cache(partial(openapi.document, app.title, app.version))  # type: ignore[method-assign]
    app.router.routes.extend([*routes, *docs_page.routes(app.openapi)])
    app.router.default = otherwise
    app.add_exception_handler(HTTPException, _http_error)
    return app


async def _http_error(_: Request, error: Exception) -> Response:
    """What the framework itself refuses, in the one shape."""
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, "VALIDATION_ERROR")
    body = error_body(f"{error.detail}.", code)
    return Response(body, error.status_code, error.headers, "application/json")
