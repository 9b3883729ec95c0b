"""The HTTP server that every process runs, and the three pages that every one of them has.

``/healthz`` says whether to restart the process, ``/readyz`` whether to send it work, ``/metrics``
what it measured. The server runs inside the caller's event loop and leaves signals to the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shortlist.domain.addresses import is_loopback
from shortlist.http import local

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from shortlist.settings import CommonSettings

_log = structlog.get_logger(__name__)

_CHECK_TIMEOUT_SECONDS = 1.8
"""A check that has not answered by then has failed: every answer comes within 2 s."""

_RETRY_AFTER = {"Retry-After": "1"}

_BACKLOG = 2048
_STARTUP_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Health:
    """What a check found; ``detail`` is shown in the body and must hold no secrets."""

    ok: bool
    detail: dict[str, Any] = field(default_factory=dict)


if TYPE_CHECKING:
    Check = Callable[[], Awaitable[Health]]


class CannotListenError(OSError):
    """The port is taken, or not ours to take, or the address is not this machine's."""


async def always_ok() -> Health:
    """The liveness check of a process that lives as long as its event loop turns."""
    return Health(ok=True)


def probe_routes(*, readiness: Check, liveness: Check = always_ok) -> list[Route]:
    """``/healthz``, ``/readyz``, ``/metrics``; 503 when a check fails, raises or hangs."""
    live, ready = _Shared(liveness), _Shared(readiness)

    async def healthz(_: Request) -> Response:
        return await _answer(live)

    async def readyz(_: Request) -> Response:
        return await _answer(ready)

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", _metrics, methods=["GET"]),
    ]


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
        except Exception as error:  # noqa: BLE001 (whatever is wrong, the answer is "not well")
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
        """Accept no more connections, let requests finish within the grace period. Repeatable."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.wait([self._task])  # who is cancelled here must not cancel it
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
    protocol: Callable[..., asyncio.Protocol] = HttpToolsProtocol,
    keep_alive_seconds: int = 5,
) -> AsyncIterator[HttpServer]:
    """Serve ``app`` on ``settings.host`` and ``settings.port`` for the length of the block.

    Raises `CannotListenError` when the port is taken. At the end of the block requests may finish
    for ``settings.drain_timeout_seconds``.
    """
    listener = _listener(settings)
    if local.listens_on_loopback(listener):
        app = local.LocalOnly(app, local.LocalNames(settings.allowed_hosts))
    config = uvicorn.Config(
        app,
        http=protocol,  # type: ignore[arg-type] # called as the class is, never subclassed
        ws="none",
        lifespan="off",  # what a process opens and closes is read top to bottom in its `run`
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=keep_alive_seconds,
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout_seconds)),
    )
    server = HttpServer(_Server(config), listener)
    await server.start()
    _tell(listener)
    try:
        yield server
    finally:
        await server.stop()


def _tell(listener: socket.socket) -> None:
    """Where it listens; and aloud, that whoever reaches it is not asked who they are."""
    host, port = listener.getsockname()[:2]
    _log.info("listening", host=host, port=port)
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
        raise CannotListenError(error.errno, error.strerror) from error
