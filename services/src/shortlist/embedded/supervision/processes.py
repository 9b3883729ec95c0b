"""The programs that `shortlist up` runs, one function each: what is started, how, and with what."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from shortlist.domain.addresses import local
from shortlist.domain.sizing.worker_environment import worker_environment
from shortlist.embedded.http import http_status
from shortlist.embedded.supervision.child import Program

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from shortlist.domain.sizing.pipeline import ScoringPipeline
    from shortlist.embedded.servers.postgres import EmbeddedPostgres
    from shortlist.embedded.servers.valkey import EmbeddedRedis
    from shortlist.embedded.supervision.data_directory import DataDirectory
    from shortlist.embedded.supervision.listening import Listeners
    from shortlist.runtime.start_pipe import StartPipe
    from shortlist.settings import Settings
    from shortlist.urls import DatabaseUrl, RedisUrl

_SERVER_DRAIN_SECONDS = 30.0
_DRAIN_MARGIN_SECONDS = 5.0
"""A worker gives back what it could not finish when its grace is over; that takes a moment."""

_MIGRATION_WAIT_SECONDS = 60


@dataclass(frozen=True)
class Surroundings:
    """What every child of one `shortlist up` shares."""

    data: DataDirectory
    settings: Settings
    redis_url: RedisUrl
    database_url: DatabaseUrl
    """As the role of the services."""
    owner_url: DatabaseUrl
    """As the role that owns the tables; empty: that of ``database_url``."""
    reader_url: DatabaseUrl
    """As the role that only reads; empty: that of ``database_url``."""
    admin_url: DatabaseUrl
    """As the superuser that makes the owner; empty: the owner is there. No process is told."""

    def program(self, name: str, *arguments: str, **more: Any) -> Program:
        """Describe one of our own processes: ``shortlist ARGUMENTS``."""
        environment = self._environment() | dict(more.pop("environment", {}))
        sockets: tuple[int, ...] = more.pop("sockets", ())
        return Program(
            name=name,
            command=lambda: [
                sys.executable,
                "-P",
                "-m",
                "shortlist",
                *arguments,
            ],  # -P: not from here
            log=self.data.log(name),
            environment=environment,
            inherited=(self.data.children_lock, *sockets),
            **more,
        )

    @property
    def roles(self) -> list[DatabaseUrl]:
        """The roles that a migration makes, if it is told an owner."""
        return [url for url in (self.database_url, self.reader_url) if url and self.owner_url]

    @property
    def makes_owner(self) -> bool:
        """Whether the owner's role is ours to make."""
        return bool(self.admin_url and self.owner_url)

    @property
    def servers(self) -> dict[str, str]:
        """Where the servers are, as variables, for whom may migrate."""
        return {
            **self._servers(),
            "OWNER_DATABASE_URL": self.owner_url.get_secret_value(),
            "READER_DATABASE_URL": self.reader_url.get_secret_value(),
        }

    def _servers(self) -> dict[str, str]:
        """Return the same for a service: of the roles it is told its own."""
        return {
            "DATABASE_URL": self.database_url.get_secret_value(),
            "ADMIN_DATABASE_URL": "",
            "OWNER_DATABASE_URL": "",
            "READER_DATABASE_URL": "",
            "REDIS_URL": self.redis_url.get_secret_value(),
            "SHORTLIST_PGBOUNCER": str(self.database_url.pooler is not None).lower(),
        }

    def _environment(self) -> dict[str, str]:
        return {
            **self._servers(),
            "SHORTLIST_HOST": "127.0.0.1",
            "SHORTLIST_PORT": "0",
            # Ours is ingest's, which inherits its socket: the others must not ask for the same.
            **({} if self.settings.metrics_port is None else {"SHORTLIST_METRICS_PORT": "0"}),
            "SHORTLIST_LOG_LEVEL": self.settings.log_level,
        }


def postgres_program(server: EmbeddedPostgres, data: DataDirectory) -> Program:
    """Describe Postgres from its wheel. SIGINT is its clean stop, SIGQUIT its quick one."""

    def prepare() -> None:
        server.initialise()
        server.prepare()

    return Program(
        name="postgres",
        command=server.command,
        log=data.log("postgres"),
        inherited=(data.children_lock,),
        prepare=partial(asyncio.to_thread, prepare),
        is_ready=partial(asyncio.to_thread, server.is_ready),
        settle=partial(asyncio.to_thread, server.ensure_database),
        explain=server.why_not,
        drain=signal.SIGINT,
        stop_now=signal.SIGQUIT,
        death=signal.SIGQUIT,
        drain_seconds=_SERVER_DRAIN_SECONDS,
    )


def redis_program(server: EmbeddedRedis, data: DataDirectory) -> Program:
    """Describe Valkey from its wheel. Killing it is safe: what it was told is in the kernel."""
    return Program(
        name="redis",
        command=server.command,
        log=data.log("redis"),
        inherited=(data.children_lock,),
        prepare=partial(asyncio.to_thread, server.prepare),
        is_ready=partial(asyncio.to_thread, server.is_ready),
        explain=server.why_not,
        drain_seconds=_SERVER_DRAIN_SECONDS,
    )


def migrate_program(around: Surroundings, start: StartPipe) -> Program:
    """Brings the schema up to date, once; started before Postgres is, to have its imports done."""
    return around.program(
        "migrate",
        "migrate",
        "--wait-seconds",
        str(_MIGRATION_WAIT_SECONDS),
        environment={**around.servers, "SHORTLIST_START_FD": str(start.reader)},
        sockets=(start.reader,),
        close=start.close,
        once=True,
    )


def ingest_program(
    around: Surroundings,
    listeners: Listeners,
    dashboard: socket.socket,
    migrated: StartPipe,
) -> Program:
    """Describe ingest. Its listeners are the supervisor's, so they are never closed in between.

    Whether it is well is asked where no crowd of clients stands in the way.
    It is started before the schema is there, waits for ``migrated``, and is asked nothing before.
    """

    def once_migrated(answers: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
        async def ask() -> bool:
            await migrated.wait()
            return await answers()

        return ask

    drain_seconds = around.settings.drain_timeout_seconds
    return around.program(
        "ingest",
        "ingest",
        environment={
            "SHORTLIST_START_FD": str(migrated.reader),
            "SHORTLIST_LISTEN_FD": str(listeners.public.fileno()),
            "SHORTLIST_METRICS_LISTEN_FD": str(listeners.health.fileno()),
            **_other_listeners(listeners),
            "SHORTLIST_DASHBOARD_URL": f"http://127.0.0.1:{dashboard.getsockname()[1]}",
        },
        sockets=(migrated.reader, *(listener.fileno() for listener in listeners.all)),
        is_ready=once_migrated(_answers(listeners.health)),
        is_alive=once_migrated(_answers(listeners.health, "/healthz")),
        close=migrated.close,
        drain_seconds=drain_seconds + _DRAIN_MARGIN_SECONDS,
    )


def _other_listeners(listeners: Listeners) -> dict[str, str]:
    """Tell ingest of those that there may be."""
    sockets = {
        "SHORTLIST_LISTEN_TWIN_FD": listeners.twin,
        "SHORTLIST_PRIVATE_LISTEN_FD": listeners.private,
    }
    return {name: str(one.fileno()) for name, one in sockets.items() if one is not None}


def dashboard_program(around: Surroundings, listener: socket.socket) -> Program:
    """Describe the dashboard, behind ingest. It gets the password that only reads, if any."""
    database_url = around.reader_url or around.database_url
    return around.program(
        "dashboard",
        "dashboard",
        environment={
            "DATABASE_URL": database_url.get_secret_value(),
            "SHORTLIST_LISTEN_FD": str(listener.fileno()),
            "SHORTLIST_DRAIN_TIMEOUT_SECONDS": "1",  # a page may be cut off
        },
        sockets=(listener.fileno(),),
        is_ready=_answers(listener),
        is_alive=_answers(listener, "/healthz"),
    )


def maintenance_program(around: Surroundings) -> Program:
    """Describe maintenance, which finds what got lost."""
    return around.program("maintenance", "maintenance", **_probed(_loopback()))


def demo_program(around: Surroundings, url: str) -> Program:
    """Describe the demo, a gentle load."""
    return around.program("demo", "demo", "--url", url, stop_now=signal.SIGKILL, drain_seconds=2.0)


def worker_program(
    around: Surroundings,
    pipeline: ScoringPipeline,
    number: int,
    admit: Callable[[], Awaitable[None]],
) -> Program:
    """Describe one worker of a pipeline; ``admit`` waits until there are connections for it."""
    return around.program(
        f"worker-{pipeline.name}-{number}",
        "worker",
        prepare=admit,
        drain_seconds=pipeline.worker.drain_timeout_seconds + _DRAIN_MARGIN_SECONDS,
        **_probed(_loopback(), process_environment(pipeline)),
    )


def process_environment(pipeline: ScoringPipeline) -> dict[str, str]:
    """Make the variables of a worker's process: its template's, and those of the pipeline."""
    return _template_environment(pipeline.worker.template or {}) | worker_environment(pipeline)


def _template_environment(template: Mapping[str, Any]) -> dict[str, str]:
    """Read the plain values of a Deployment template's ``env``; references mean nothing here."""
    return {
        str(entry["name"]): str(entry["value"])
        for entry in template.get("env") or []
        if isinstance(entry, dict) and "name" in entry and "value" in entry
    }


def _loopback() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def _probed(probes: socket.socket, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what a program is told that serves nothing but its probes, and how it is asked.

    The supervisor keeps the listener, so that each successor is asked at the same place.
    """
    number = probes.fileno()
    return {
        "environment": {**(environment or {}), "SHORTLIST_METRICS_LISTEN_FD": str(number)},
        "sockets": (number,),
        "is_alive": _answers(probes, "/healthz"),
        "close": probes.close,
    }


def _answers(listener: socket.socket, path: str = "/readyz") -> Callable[[], Awaitable[bool]]:
    host, port = listener.getsockname()[:2]

    async def ask() -> bool:
        return await http_status(local(host), port, path) == HTTPStatus.OK

    return ask
