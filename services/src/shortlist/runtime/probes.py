"""The HTTP server that every process runs, and the three pages that every one of them has.

``/healthz`` says whether to restart the process, ``/readyz`` whether to send it work, ``/metrics``
what it measured. The server runs inside the caller's event loop and leaves signals to the caller.

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
import concurrent.futures
import contextlib
import functools
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shortlist.domain.addresses import is_loopback
from shortlist.http import local
from shortlist.http.budget import SOCKET_BYTES, Budget
from shortlist.http.house import House, Limits, see_off
from shortlist.http.protocol import BoundedProtocol
from shortlist.runtime.process import CannotStartError
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
    from contextlib import AbstractAsyncContextManager

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from shortlist.http.protocol import Hot
    from shortlist.settings import CommonSettings, IngestSettings

_log = structlog.get_logger(__name__)

_CHECK_TIMEOUT_SECONDS = 1.6
"""A check that has not answered by then has failed: every answer comes within 2 s, on a busy
machine too."""

_RETRY_AFTER = {"Retry-After": "1"}

HANGING_SECONDS = 3.0
"""An event loop that has not gone round for so long hangs: the time-out of the chart's probes, by
which it counted as hanging when the loop itself had to answer."""

_BEAT_SECONDS = 0.25

_BACKLOG = 2048
_STARTUP_POLL_SECONDS = 0.005

_SMALL_CONNECTIONS = 1_000
_SMALL_BYTES = 32 << 20
"""Of a listener that few have a reason to call: half of it are 2 000 connections."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a check found; ``detail`` is shown in the body and must hold no secrets."""

    ok: bool
    detail: dict[str, Any] = field(default_factory=dict)


if TYPE_CHECKING:
    Check = Callable[[], Awaitable[Health]]


class CannotListenError(CannotStartError):
    """The port is taken, or not ours to take, or the address is not this machine's."""

    event = "cannot_listen"


async def always_ok() -> Health:
    """The liveness check of a process that lives as long as its event loop turns."""
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
    """What of the three a listener has for whom it serves: metrics only if they are nowhere else.

    Load balancers in front ask the port that they send clients to whether it is well.
    """
    metrics = [] if settings.has_metrics_listener else [metrics_route()]
    return [*health_routes(readiness=readiness), *metrics]


def metrics_route() -> Route:
    """``/metrics``; of all that this process counts, whichever thread is asked."""
    return Route("/metrics", _metrics, methods=["GET"])


def probe_app(*, readiness: Check, liveness: Check = always_ok) -> Starlette:
    """The whole app of a process that serves nothing else."""
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


class HttpServer:
    """uvicorn inside the running loop; made by `serve`."""

    def __init__(self, server: uvicorn.Server, listener: socket.socket) -> None:
        """``listener`` is bound and listening; the server owns it from here on."""
        self._server = server
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        """The port that is really listened on, also when 0 was asked for."""
        self._task: asyncio.Task[None] | None = None

    @property
    def connections(self) -> Collection[Any]:
        """The protocols of the connections that are open."""
        return self._server.server_state.connections

    async def start(self) -> None:
        """Return once connections are accepted."""
        self._task = asyncio.create_task(self._server.serve([self._listener]), name="http-server")
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError("The HTTP server ended before it had started.")
            await asyncio.sleep(_STARTUP_POLL_SECONDS)

    async def stop(self) -> None:
        """Accept no more connections, let requests finish within the grace period. Repeatable.

        Cancelled, it cuts off what is still being answered.
        """
        self._server.should_exit = True
        if self._task is None:
            return
        try:
            await asyncio.wait([self._task])  # who is cancelled here must not cancel it
        except asyncio.CancelledError:
            self.abandon()
            raise
        self._task.result()

    def abandon(self) -> None:
        """Make a running `stop` return now. Whatever is still being answered is cut off."""
        self._server.force_exit = True
        for connection in list(self.connections):
            connection.transport.abort()


@contextlib.asynccontextmanager
async def serve(
    app: ASGIApp, settings: CommonSettings, *, house: House | None = None, hot: Hot | None = None
) -> AsyncIterator[HttpServer]:
    """Serve ``app`` on ``settings.host`` and ``settings.port`` for the length of the block.

    Args:
        app: answers.
        settings: say where.
        house: whom to let in; None: as many as a page or a probe has use for.
        hot: answers plain requests without the app.

    Raises `CannotListenError` when the port is taken. At the end of the block requests may finish
    for ``settings.drain_timeout_seconds``.
    """
    house = house or _small_house()
    async with _serving(app, _listener(settings), settings, house, hot, "public") as server:
        yield server


@contextlib.asynccontextmanager
async def serve_only_probes(app: Starlette, settings: CommonSettings) -> AsyncIterator[None]:
    """Serve the probes of a process that serves nothing else, on the one port that it needs."""
    listener = _probe_listener(settings) or _listener(settings)
    async with _serving(app, listener, settings, _small_house(), None, "probes"):
        yield


@contextlib.asynccontextmanager
async def serve_probes(readiness: Check, settings: CommonSettings) -> AsyncIterator[None]:
    """Serve probes on a listener of their own, if ``settings`` say where, for the block's length.

    It lets in whom it has place for by itself, and answers in a thread of its own: a public
    listener that is full, or whose clients ask for more than one thread can answer, does not end a
    process that is well. ``readiness`` runs in the caller's loop.
    """
    listener = _probe_listener(settings)
    if listener is None:
        yield
        return
    heartbeat = Heartbeat()
    beating = asyncio.create_task(heartbeat.run(), name="heartbeat")
    here = asyncio.get_running_loop()
    ready = _Shared(_asked_in(here, readiness))
    # The heartbeat is asked as it is: each task on the way would have to get Python's lock again.
    routes = [_route("/healthz", heartbeat.check), _route("/readyz", ready), metrics_route()]
    app = Starlette(routes=routes)
    serving = functools.partial(_serving, app, listener, settings, _small_house(), None, "probes")
    try:
        async with _in_a_thread(serving):
            yield
    finally:
        beating.cancel()
        await asyncio.wait([beating])


@contextlib.asynccontextmanager
async def serve_private(app: ASGIApp, settings: IngestSettings) -> AsyncIterator[None]:
    """Serve ``app`` on the private listener, if ``settings`` say where, for the block's length."""
    listener = _private_listener(settings)
    if listener is None:
        yield
        return
    async with _serving(app, listener, settings, _small_house(), None, "private"):
        yield


class Heartbeat:
    """When an event loop last went round, for those who ask from another thread."""

    def __init__(self) -> None:
        """It goes round now."""
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
    """The same check, run in the loop that it belongs to."""

    async def asked() -> Health:
        running = asyncio.run_coroutine_threadsafe(_run(check), loop)
        return await asyncio.wrap_future(running)

    return asked


async def _run(check: Check) -> Health:
    return await check()


@contextlib.asynccontextmanager
async def _in_a_thread(
    serving: Callable[[], AbstractAsyncContextManager[object]],
) -> AsyncIterator[None]:
    """Enter a context in an event loop of its own, in a thread of its own, for the block's length.

    Its errors are raised here.
    """
    here = asyncio.get_running_loop()
    started, stop = asyncio.Event(), concurrent.futures.Future[None]()

    async def serve_until_told() -> None:
        async with serving():
            here.call_soon_threadsafe(started.set)
            await asyncio.wrap_future(stop)

    def run() -> None:
        with asyncio.Runner(loop_factory=type(here)) as runner:  # uvloop's where ours is
            runner.run(serve_until_told())

    starting = asyncio.create_task(started.wait())
    ended = asyncio.create_task(asyncio.to_thread(run), name="serving-in-a-thread")
    try:
        await asyncio.wait([starting, ended], return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            await ended
        yield
    finally:
        starting.cancel()
        stop.set_result(None)
        await asyncio.wait([ended])  # who is cancelled here must not cancel it
    await ended


def _small_house() -> House:
    """For a dashboard behind ingest, or for probes and a scraper."""
    return House(Limits(connections=_SMALL_CONNECTIONS), Budget(_SMALL_BYTES))


@contextlib.asynccontextmanager
async def _serving(
    app: ASGIApp,
    listener: socket.socket,
    settings: CommonSettings,
    house: House,
    hot: Hot | None,
    name: str,
) -> AsyncIterator[HttpServer]:
    if local.listens_on_loopback(listener):
        app = local.LocalOnly(app, local.LocalNames(settings.allowed_hosts))
    config = uvicorn.Config(
        app,
        http=functools.partial(BoundedProtocol, house, hot),  # type: ignore[arg-type] # only called
        ws="none",
        lifespan="off",  # what a process opens and closes is read top to bottom in its `run`
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout_seconds)),
    )
    _bound_buffers(listener)
    metrics.CLIENTS_OPEN.labels(name).set_function(lambda: house.open)
    metrics.CLIENTS_ALLOWED.labels(name).set(house.limits.connections)
    server = HttpServer(_Server(config), listener)
    await server.start()
    seeing_off = asyncio.create_task(see_off(house), name=f"{name}-see-off")
    _tell(listener, name)
    try:
        yield server
    except asyncio.CancelledError:
        server.abandon()
        raise
    finally:
        await server.stop()
        seeing_off.cancel()
        await asyncio.wait([seeing_off])


def _bound_buffers(listener: socket.socket) -> None:
    """What the kernel keeps for a connection, which inherits it; it would grow to megabytes."""
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        listener.setsockopt(socket.SOL_SOCKET, option, SOCKET_BYTES // 2)  # the kernel doubles it


def _tell(listener: socket.socket, name: str) -> None:
    """Log where it listens, and warn when clients elsewhere can reach it: none has to log in."""
    host, port = listener.getsockname()[:2]
    _log.info("listening", host=host, port=port, listener=name)
    if not is_loopback(host):
        _log.warning("open_to_the_network", host=host, port=port, authentication="none")


class _Server(uvicorn.Server):
    """Signals are the process's business: uvicorn would take them away from it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listener(settings: CommonSettings) -> socket.socket:
    """The socket that a supervisor holds for us across our deaths, or one of our own."""
    if settings.listen_fd is not None:
        return socket.socket(fileno=settings.listen_fd)
    return _listen(settings.host, settings.port)


def _probe_listener(settings: CommonSettings) -> socket.socket | None:
    if settings.metrics_listen_fd is not None:
        return socket.socket(fileno=settings.metrics_listen_fd)
    if settings.metrics_port is None:
        return None
    return _listen(settings.host, settings.metrics_port)


def _private_listener(settings: IngestSettings) -> socket.socket | None:
    if settings.private_listen_fd is not None:
        return socket.socket(fileno=settings.private_listen_fd)
    if settings.private_port is None:
        return None
    return _listen(settings.private_host, settings.private_port)


def _listen(host: str, port: int) -> socket.socket:
    is_v6 = ":" in host
    try:
        return socket.create_server(
            (host, port),
            family=socket.AF_INET6 if is_v6 else socket.AF_INET,
            dualstack_ipv6=is_v6 and host == "::",
            backlog=_BACKLOG,
        )
    except OSError as error:
        raise CannotListenError(error.strerror or str(error), host=host, port=port) from error
