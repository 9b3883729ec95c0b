"""The three pages that every process has.

``/healthz`` says whether to restart the process, ``/readyz`` whether to send it work, ``/metrics``
what it measured.

Where clients come in crowds the three pages have a listener of their own, and its server an event
loop in a thread of its own: ``/healthz`` waits for Python's lock, of which a busy thread lets go
after 5 ms (`sys.getswitchinterval`), and not for all that the crowd has asked before. An answer
takes the lock five times (to accept, to make the connection, to read, to run the task, to close):
25 ms, when the other thread never rests, and more when a call into C keeps the lock for longer; the
longest that is frequent is a collection of garbage (`shortlist.ingest.tuning.COLLECT_AFTER`). It
asks when the process's own loop last went round, so that a loop that hangs is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shortlist.runtime import http_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

    from shortlist.settings import CommonSettings

_CHECK_TIMEOUT_SECONDS = 1.6
"""A check that has not answered by then has failed: every answer comes within 2 s, on a busy
machine too."""

_RETRY_AFTER = {"Retry-After": "1"}

HANGING_SECONDS = 3.0
"""An event loop that has not gone round for so long hangs: the time-out of the chart's probes, by
which it counted as hanging when the loop itself had to answer."""

_BEAT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Health:
    """What a check found; ``detail`` is shown in the body and must hold no secrets."""

    ok: bool
    detail: dict[str, Any] = field(default_factory=dict)


if TYPE_CHECKING:
    Check = Callable[[], Awaitable[Health]]


async def always_ok() -> Health:
    """Report a process that lives as long as its event loop turns."""
    return Health(ok=True)


def probe_routes(*, readiness: Check, liveness: Check = always_ok) -> list[Route]:
    """``/healthz``, ``/readyz``, ``/metrics``; 503 when a check fails, raises or hangs."""
    return [*health_routes(readiness=readiness, liveness=liveness), metrics_route()]


def health_routes(*, readiness: Check, liveness: Check = always_ok) -> list[Route]:
    """``/healthz`` and ``/readyz``, which say nothing that a client may not know."""
    return [_route("/healthz", _Shared(liveness)), _route("/readyz", _Shared(readiness))]


def _route(path: str, check: Check) -> Route:
    async def answer(_: Request) -> Response:
        return await _answer(check)

    return Route(path, answer, methods=["GET"])


def public_probe_routes(readiness: Check, settings: CommonSettings) -> list[Route]:
    """Return the routes of a listener that is not for probes alone: metrics only if nowhere else.

    Load balancers in front ask the port that they send clients to whether it is well.
    """
    metrics = [] if settings.has_metrics_listener else [metrics_route()]
    return [*health_routes(readiness=readiness), *metrics]


def metrics_route() -> Route:
    """``/metrics``; of all that this process counts, whichever thread is asked."""
    return Route("/metrics", _metrics, methods=["GET"])


def probe_app(*, readiness: Check, liveness: Check = always_ok) -> Starlette:
    """Make the whole app of a process that serves nothing else."""
    return Starlette(routes=probe_routes(readiness=readiness, liveness=liveness))


class _Shared:
    """One check at a time; those who ask meanwhile get its answer.

    Without it many who ask at once would wait for each other's connections.
    """

    def __init__(self, check: Check) -> None:
        """``check`` may be slow; it is given up in time."""
        self._check = check
        self._running: asyncio.Task[Health] | None = None

    async def __call__(self) -> Health:
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await asyncio.shield(self._running)  # one who leaves must not stop the others

    async def _run(self) -> Health:
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT_SECONDS):
                return await self._check()
        except Exception as error:  # whatever is wrong, the answer is "not well"
            return Health(ok=False, detail={"error": type(error).__name__})


async def _answer(check: Check) -> Response:
    health = await check()
    status = "ok" if health.ok else "unavailable"
    content = {"status": status, **health.detail}
    return JSONResponse(content, 200 if health.ok else 503, None if health.ok else _RETRY_AFTER)


async def _metrics(request: Request) -> Response:
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(REGISTRY), media_type=content_type)


@contextlib.asynccontextmanager
async def serve_only_probes(app: Starlette, settings: CommonSettings) -> AsyncIterator[None]:
    """Serve the probes of a process that serves nothing else, on the one port that it needs."""
    listener = http_server.probe_listener(settings) or http_server.public_listener(settings)
    async with http_server.serve_on(listener, app, settings, "probes"):
        yield


@contextlib.asynccontextmanager
async def serve_probes(readiness: Check, settings: CommonSettings) -> AsyncIterator[None]:
    """Serve probes on a listener of their own, if ``settings`` say where, for the block's length.

    It lets in whom it has place for by itself, and answers in a thread of its own: a public
    listener that is full, or whose clients ask for more than one thread can answer, does not end a
    process that is well. ``readiness`` runs in the caller's loop.
    """
    listener = http_server.probe_listener(settings)
    if listener is None:
        yield
        return
    heartbeat = LoopHeartbeat()
    beating = asyncio.create_task(heartbeat.run(), name="heartbeat")
    here = asyncio.get_running_loop()
    ready = _Shared(_asked_in(here, readiness))
    # The heartbeat is asked as it is: each task on the way would have to get Python's lock again.
    routes = [_route("/healthz", heartbeat.check), _route("/readyz", ready), metrics_route()]
    app = Starlette(routes=routes)
    serving = functools.partial(http_server.serve_on, listener, app, settings, "probes")
    try:
        async with http_server.in_a_thread(serving):
            yield
    finally:
        beating.cancel()
        await asyncio.wait([beating])


class LoopHeartbeat:
    """When an event loop last went round, for those who ask from another thread."""

    def __init__(self) -> None:
        """Begin alive: the loop turns now."""
        self._beat_at = time.monotonic()

    async def run(self) -> None:
        """Note the time, again and again, as long as the loop turns."""
        while True:
            self._beat_at = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)

    async def check(self) -> Health:
        """Say whether the loop turns; not how often it was late."""
        return liveness_at(time.monotonic() - self._beat_at)


def liveness_at(age_seconds: float) -> Health:
    """Judge a loop by how long ago it last went round."""
    if age_seconds <= HANGING_SECONDS:
        return Health(ok=True)
    return Health(ok=False, detail={"event_loop_hangs_seconds": round(age_seconds, 1)})


def _asked_in(loop: asyncio.AbstractEventLoop, check: Check) -> Check:
    """Run the check in the loop that it belongs to."""

    async def asked() -> Health:
        running = asyncio.run_coroutine_threadsafe(_run(check), loop)
        return await asyncio.wrap_future(running)

    return asked


async def _run(check: Check) -> Health:
    return await check()
