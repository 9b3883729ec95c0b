"""All routes of a listener: `listeners` says which has which.

The four that are called thousands of times a second are found before Starlette is asked; everything
else takes the ordinary way. Both ways end in the same endpoints. One of the four is mostly answered
even before: see `fast_path`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from shortlist.http.errors import CODES, error_body, not_found
from shortlist.ingest.endpoint import Endpoint
from shortlist.ingest.routes import docs_page
from shortlist.runtime.probes import metrics_route

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from typing import Never

    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from shortlist.ingest.admission.access import ScoringAccess
    from shortlist.ingest.admission.rate_limit import ClientRates
    from shortlist.ingest.api.gateway import Gateway
    from shortlist.ingest.endpoint import Call, Handler
    from shortlist.ingest.routes.dashboard_proxy import DashboardProxy
    from shortlist.ingest.routes.events import EventStreams
    from shortlist.ingest.routes.listeners import Group
    from shortlist.ingest.routes.status import Statuses
    from shortlist.ingest.routes.submit import Submissions

_APPLICATION = "/applications/"
_JOB = "/status/"
HIRING = "/api/"
"""All paths of the hiring contract begin so."""


class IngestApp:
    """Answers all requests of one listener: finds the routes of the contracts first."""

    def __init__(
        self,
        *,
        submissions: Submissions,
        statuses: Statuses,
        events: EventStreams,
        hiring: Gateway,
        dashboard: DashboardProxy,
        health: Sequence[Route],
        clients: ClientRates | None,
        serves: AbstractSet[Group],
        scoring: ScoringAccess,
    ) -> None:
        """Make the routes.

        Args:
            submissions: answers what submits.
            statuses: answers who asks for a status.
            events: answers with a stream of an application's changes.
            hiring: answers all below ``/api``.
            dashboard: answers everything else, where pages are served.
            health: the probes' routes.
            clients: limits how often each calls the contracts' routes; None: nothing does.
            serves: the groups that are here; the routes of others are 404.
            scoring: which of them ask clients for a key.
        """

        def endpoint(route: str, handle: Handler, group: Group = "clients") -> Endpoint:
            return Endpoint(route, scoring.asking(group, handle), clients)

        self._applications = ByMethod(
            POST=endpoint("/applications", submissions.post_application),
            GET=endpoint("/applications", statuses.get_many),
        )
        self._application = ByMethod(
            GET=endpoint("/applications/{id}", statuses.get),
            HEAD=endpoint("/applications/{id}", statuses.head),
        )
        following = ByMethod(GET=endpoint("/applications/{id}/events", events.get))
        leaderboard = ByMethod(GET=endpoint("/leaderboard", statuses.leaderboard, "leaderboard"))
        self._jobs = ByMethod(POST=endpoint("/job", submissions.post_job))
        self._job = ByMethod(GET=endpoint("/status/{id}", statuses.get_job))
        contracts = [
            self._applications.route("/applications"),
            self._application.route("/applications/{id}"),
            following.route("/applications/{id}/events"),
            self._jobs.route("/job"),
            self._job.route("/status/{id}"),
        ]
        groups: dict[Group, Sequence[Route]] = {
            "clients": contracts,
            "hiring": [Route(f"{HIRING}{{path:path}}", hiring)],
            "leaderboard": [leaderboard.route("/leaderboard")],
            "probes": health,
            "metrics": [metrics_route()],
        }
        self.routes: Sequence[BaseRoute] = _served(groups, serves)
        self._hiring = hiring if "hiring" in serves else None
        described = {route.path for group in groups if group in serves for route in groups[group]}
        pages = scoring.asking("pages", dashboard.get)
        self._everything = _starlette(
            self.routes,
            Endpoint("/{path}", pages if "pages" in serves else _nothing_here),
            described if "docs" in serves else None,
            self._hiring,
        )

    @property
    def all_routes(self) -> list[BaseRoute]:
        """List `routes` and what describes them; the dashboard is asked for the rest."""
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
        elif path.startswith(HIRING):
            return self._hiring or self._everything
        found = resource and resource.endpoints.get(scope["method"])
        return found or self._everything


class ByMethod:
    """The endpoints of one path. HEAD is answered as GET where it has none of its own."""

    def __init__(self, **endpoints: Endpoint) -> None:
        """Endpoints by the names of their methods."""
        self.endpoints = endpoints

    def route(self, path: str) -> Route:
        """Make the framework's route; other methods get 405."""
        return Route(path, self, methods=list(self.endpoints))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whose method is known to be one of ours."""
        endpoint = self.endpoints.get(scope["method"]) or self.endpoints["GET"]
        await endpoint(scope, receive, send)


def _served(groups: Mapping[Group, Iterable[Route]], serves: AbstractSet[Group]) -> list[BaseRoute]:
    """List the routes that are here, and for those that are not one that says so.

    Without it they would be taken for pages, and the dashboard has probes and metrics of its own.
    """
    return [
        route if group in serves else _hidden(route.path)
        for group, routes in groups.items()
        for route in routes
    ]


def _hidden(path: str) -> Route:
    """Make a route that answers 404, whatever the method: the path is served elsewhere."""
    return Route(path, Endpoint(path, _nothing_here))


async def _nothing_here(_: Call) -> Never:
    raise not_found()


def _starlette(
    routes: Sequence[BaseRoute],
    otherwise: Endpoint,
    described: Collection[str] | None,
    hiring: Gateway | None,
) -> Starlette:
    """Put the framework around the routes; ``described``: the paths to describe, None: none."""
    docs = docs_page.routes(described or (), hiring)
    if described is None:
        docs = [_hidden(route.path) for route in docs]
    app = Starlette(routes=[*routes, *docs], exception_handlers={HTTPException: _http_error})
    app.router.redirect_slashes = False
    app.router.default = otherwise
    return app


async def _http_error(_: Request, error: Exception) -> Response:
    """Answer what the framework itself refuses, in the one shape of errors."""
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, "VALIDATION_ERROR")
    body = error_body(f"{error.detail}.", code)
    return Response(body, error.status_code, error.headers, "application/json")
