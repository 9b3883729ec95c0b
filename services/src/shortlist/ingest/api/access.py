"""What each route of ``/api`` asks of a client, in one table.

A route finds its row when it is made; one without a row cannot be made.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request

from shortlist.domain.hiring.audit import Actor
from shortlist.http.errors import ApiError
from shortlist.storage.unavailable import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping

    from shortlist.ingest.admission.access import Access, Admitted, Need

_READ: Need = frozenset({"read"})
_APPLY: Need = frozenset({"apply"})
_MANAGE: Need = frozenset({"manage"})
_EITHER: Need = frozenset({"apply", "manage"})
"""Applicants leave, and a company removes them, by one call."""

NEEDS: Final[Mapping[str, Need]] = {
    "GET /healthz": "open",
    "GET /jobs": _READ,
    "POST /jobs": _MANAGE,
    "GET /jobs/{jobId}": _READ,
    "PATCH /jobs/{jobId}": _MANAGE,
    "POST /jobs/{jobId}/close": _MANAGE,
    "POST /jobs/{jobId}/reopen": _MANAGE,
    "POST /jobs/{jobId}/end": _MANAGE,
    "POST /jobs/{jobId}/actions": _MANAGE,
    "GET /jobs/{jobId}/entries": _READ,
    "POST /jobs/{jobId}/import": _MANAGE,
    "GET /jobs/{jobId}/export": _READ,
    "POST /actions/{actionId}/undo": _MANAGE,
    "GET /applicants": _READ,
    "POST /applicants": _EITHER,
    "GET /applicants/{applicantId}": _READ,
    "DELETE /applicants/{applicantId}": _MANAGE,
    "GET /applicants/{applicantId}/export": _READ,
    "POST /apply": _APPLY,
    "POST /apply-public": "public",
    "POST /withdraw": _EITHER,
    "POST /acknowledge": _APPLY,
    "GET /applications/{applicationId}": _READ,
    "GET /status/{applicantId}": _READ,
    "GET /timeline/{applicantId}": _READ,
    "GET /queue/{jobId}": _READ,
    "GET /pipeline/{jobId}/summary": _READ,
    "GET /pipeline/{jobId}/replay": _READ,
    "GET /pipeline/{jobId}/verify": _READ,
    "GET /events": _READ,
}
"""By method and path within ``/api``. HEAD is as GET."""


def needed(path: str, methods: Iterable[str]) -> Need:
    """Return what a route needs; raises `KeyError` for one that has no row."""
    place = path.removeprefix("/api")
    (need,) = {NEEDS[f"{'GET' if method == 'HEAD' else method} {place}"] for method in methods}
    return need


async def caller(request: Request) -> Actor:
    """Return who calls, as `Access.admit` said; a coroutine, as FastAPI gives others a thread."""
    admitted: Admitted = request.state.admitted
    return admitted.actor


Caller = Annotated[Actor, Depends(caller)]
"""A parameter of a route: who calls."""


async def while_admitted(
    request: Request, chunks: AsyncGenerator[bytes, None]
) -> AsyncIterator[bytes]:
    """Yield what a stream sends, until the client's key is not valid any more."""
    async with aclosing(chunks):
        async for chunk in chunks:
            if not await _still_may(request):
                return
            yield chunk


async def _still_may(request: Request) -> bool:
    """Tell whether a client that was admitted may go on; while Postgres is away, it may."""
    access: Access = request.app.state.access
    try:
        await access.admit(request.scope, NEEDS["GET /events"])
    except ApiError:
        return False
    except DatabaseUnavailableError:
        pass  # nothing new is told meanwhile
    return True
