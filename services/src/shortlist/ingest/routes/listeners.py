"""Which listener serves which routes.

Who may reach a port may do what it serves, as no client is asked who it is. So what applicants and
their clients need can be on one port, and what shows all candidates on another one. What a listener
does not serve is 404 there, with any method. ``docs/security.md`` has the table, made from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from shortlist.settings import IngestSettings

Group: TypeAlias = Literal["clients", "hiring", "probes", "metrics", "leaderboard", "docs", "pages"]

ROUTES: Final[dict[Group, str]] = {
    "clients": "submitting; one's application by its id, and its events; the job server's calls",
    "hiring": "`/api`: openings, applicants and their applications; by keys (`SHORTLIST_AUTH`)",
    "probes": "`/healthz`, `/readyz`",
    "metrics": "`/metrics`",
    "leaderboard": "`/leaderboard`",
    "docs": "`GET /docs`, `GET /openapi.json`",
    "pages": "the dashboard's pages: recent jobs of all candidates",
}
"""What is in each group."""

ALL: Final[frozenset[Group]] = frozenset(get_args(Group))
"""What the private listener serves."""

HEALTH: Final[frozenset[Group]] = frozenset({"probes", "metrics"})
"""What the health listener serves (`shortlist.runtime.probes.serve_probes`)."""

FOR_STAFF: Final[frozenset[Group]] = frozenset({"metrics", "leaderboard", "docs", "pages"})
"""What the private listener takes away from the public one."""


def public_groups(settings: IngestSettings) -> frozenset[Group]:
    """Return what the public listener serves: all that has no listener of its own."""
    moved: set[Group] = {"metrics"} if settings.has_metrics_listener else set()
    return ALL - moved - (FOR_STAFF if settings.has_private_listener else set())
