"""The HTTP server that every process runs, inside the process's own event loop.

It leaves signals to the process (`shortlist.runtime.process`), and what it answers to the caller:
pages, routes, or probes (`shortlist.runtime.probes`).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import socket
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn

from shortlist.domain.addresses import is_loopback
from shortlist.http import local
from shortlist.http.budget import SOCKET_BYTES, Budget
from shortlist.http.connections import ConnectionTable, ListenerLimits, expire_connections
from shortlist.http.protocol import BoundedProtocol
from shortlist.runtime.process import CannotStartError
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from starlette.types import ASGIApp

    from shortlist.http.protocol import FastPath
    from shortlist.settings import CommonSettings, IngestSettings

_log = structlog.get_logger(__name__)

_BACKLOG = 2048
_STARTUP_POLL_SECONDS = 0.005

_SMALL_CONNECTIONS = 1_000
_SMALL_BYTES = 32 << 20
"""Of a listener that few have a reason to call: half of it are 2 000 connections."""


class CannotListenError(CannotStartError):
    """The port is taken, or not ours to take, or the address is not this machine's."""

    event = "cannot_listen"


class HttpServer:
    """uvicorn inside the running loop; made by `serve`."""

    def __init__(self, server: uvicorn.Server, listeners: Sequence[socket.socket]) -> None:
        """Own ``listeners``, which are bound and listening, from here on; one or more."""
        self._server = server
        self._listeners = list(listeners)
        self.port: int = self._listeners[0].getsockname()[1]
        """The port that is really listened on, also when 0 was asked for."""
        self._task: asyncio.Task[None] | None = None

    @property
    def connections(self) -> Collection[Any]:
        """The protocols of the connections that are open."""
        return self._server.server_state.connections

    async def start(self) -> None:
        """Return once connections are accepted."""
        self._task = asyncio.create_task(self._server.serve(self._listeners), name="http-server")
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
    app: ASGIApp,
    settings: CommonSettings,
    *,
    connections: ConnectionTable | None = None,
    fast_path: FastPath | None = None,
    open_path: str | None = None,
) -> AsyncIterator[HttpServer]:
    """Serve ``app`` on ``settings.host`` and ``settings.port`` for the length of the block.

    Args:
        app: answers.
        settings: say where.
        connections: of this listener; None: as many as a page or a probe has use for.
        fast_path: answers plain requests without the app.
        open_path: below it, a listener on loopback answers the pages of any site.

    Raises `CannotListenError` when the port is taken. At the end of the block requests may finish
    for ``settings.drain_timeout_seconds``.
    """
    listener = public_listener(settings)
    async with serve_on(
        listener,
        app,
        settings,
        "public",
        twin=_twin(listener, settings),
        connections=connections,
        fast_path=fast_path,
        open_path=open_path,
    ) as server:
        yield server


@contextlib.asynccontextmanager
async def serve_private(
    app: ASGIApp, settings: IngestSettings, *, open_path: str | None = None
) -> AsyncIterator[None]:
    """Serve ``app`` on the private listener, if ``settings`` say where, for the block's length."""
    listener = _private_listener(settings)
    if listener is None:
        yield
        return
    async with serve_on(listener, app, settings, "private", open_path=open_path):
        yield


@contextlib.asynccontextmanager
async def in_a_thread(
    serving: Callable[[], AbstractAsyncContextManager[object]],
) -> AsyncIterator[None]:
    """Enter a context in an event loop of its own, in a thread of its own, for the block's length.

    Its errors are raised here.
    """
    here = asyncio.get_running_loop()
    started, stop = asyncio.Event(), concurrent.futures.Future[None]()

    async def serve_until_stopped() -> None:
        async with serving():
            here.call_soon_threadsafe(started.set)
            await asyncio.wrap_future(stop)

    def run() -> None:
        with asyncio.Runner(loop_factory=type(here)) as runner:  # uvloop's where ours is
            runner.run(serve_until_stopped())

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


@contextlib.asynccontextmanager
async def serve_on(
    listener: socket.socket,
    app: ASGIApp,
    settings: CommonSettings,
    name: str,
    *,
    twin: socket.socket | None = None,
    connections: ConnectionTable | None = None,
    fast_path: FastPath | None = None,
    open_path: str | None = None,
) -> AsyncIterator[HttpServer]:
    """Serve ``app`` on a socket that listens, for the length of the block; see `serve`.

    ``name``: the listener's, in logs and metrics; ``twin``: another socket for the same, by
    `local.loopback_twin`. Cancelled within the block, it cuts off what is
    still being answered.
    """
    if connections is None:  # for a dashboard behind ingest, or for probes and a scraper
        connections = ConnectionTable(
            ListenerLimits(connections=_SMALL_CONNECTIONS), Budget(_SMALL_BYTES)
        )
    if local.listens_on_loopback(listener):
        app = local.LocalOnly(app, local.LocalNames(settings.allowed_hosts), open_path)
    config = uvicorn.Config(
        app,
        http=functools.partial(BoundedProtocol, connections, fast_path),  # type: ignore[arg-type] # only called
        ws="none",
        lifespan="off",  # what a process opens and closes is read top to bottom in its `run`
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout_seconds)),
    )
    listeners = [listener] if twin is None else [listener, twin]
    for one in listeners:
        _bound_buffers(one)
    metrics.CLIENTS_OPEN.labels(name).set_function(lambda: connections.open)
    metrics.CLIENTS_ALLOWED.labels(name).set(connections.limits.connections)
    server = HttpServer(_Server(config), listeners)
    await server.start()
    expiring = asyncio.create_task(expire_connections(connections), name=f"{name}-expire")
    _log_where(listener, name)
    try:
        yield server
    except asyncio.CancelledError:
        server.abandon()
        raise
    finally:
        await server.stop()
        expiring.cancel()
        await asyncio.wait([expiring])


def _bound_buffers(listener: socket.socket) -> None:
    """Bound what the kernel keeps for a connection, which inherits it; else that is megabytes."""
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        listener.setsockopt(socket.SOL_SOCKET, option, SOCKET_BYTES // 2)  # the kernel doubles it


def _log_where(listener: socket.socket, name: str) -> None:
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


def public_listener(settings: CommonSettings) -> socket.socket:
    """Return the socket that a supervisor holds for us across our deaths, or one of our own."""
    if settings.listen_fd is not None:
        return socket.socket(fileno=settings.listen_fd)
    return _listen(settings.host, settings.port)


def _twin(listener: socket.socket, settings: CommonSettings) -> socket.socket | None:
    """Return the public listener's twin: inherited as the listener is, or one of our own."""
    if settings.listen_fd is None:
        return local.loopback_twin(listener, _BACKLOG)
    twin_fd = settings.listen_twin_fd
    return None if twin_fd is None else socket.socket(fileno=twin_fd)


def probe_listener(settings: CommonSettings) -> socket.socket | None:
    """Return the same for the probes; None where they have no listener of their own."""
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
