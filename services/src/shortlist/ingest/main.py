"""The ingest process: opens what it needs, serves, and ends without losing what it answered for."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import structlog

from shortlist.domain.networks import Proxies, parse_networks
from shortlist.http.budget import Budget, share_of
from shortlist.http.connections import ConnectionTable, ListenerLimits
from shortlist.http.local import LocalNames
from shortlist.ingest.admission.access import CLOSED, Access, ScoringAccess
from shortlist.ingest.admission.api_keys import ApiKeys
from shortlist.ingest.admission.line_registry import LineRegistry
from shortlist.ingest.admission.rate_limit import ClientRate, ClientRates
from shortlist.ingest.api.gateway import Gateway, Needs
from shortlist.ingest.app import HIRING, IngestApp
from shortlist.ingest.fast_path import FastPost
from shortlist.ingest.group_commit import GroupCommit
from shortlist.ingest.publisher import Publisher
from shortlist.ingest.routes.application_reader import ApplicationReader
from shortlist.ingest.routes.dashboard_proxy import DashboardProxy
from shortlist.ingest.routes.events import EventStreams
from shortlist.ingest.routes.listeners import ALL, public_groups
from shortlist.ingest.routes.status import Statuses
from shortlist.ingest.routes.submit import Submissions
from shortlist.ingest.tuning import allow_connections, tune_garbage_collection
from shortlist.runtime import http_server, machine, probes, process
from shortlist.runtime.tasks import Tasks
from shortlist.storage import postgres, redis
from shortlist.storage.postgres import schema
from shortlist.storage.postgres.database import Database
from shortlist.storage.redis.events import Announcements
from shortlist.storage.unavailable import DatabaseUnavailableError
from shortlist.telemetry import metrics, traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shortlist.runtime.process import Stopping
    from shortlist.settings import IngestSettings
    from shortlist.storage.postgres import Connection

ACCEPT_CONNECTIONS = 2
"""Group commits that may overlap, on a connection each: the next group is on its way while Postgres
flushes one. With more of them the groups would only be smaller."""

READ_CONNECTIONS = 4
"""For statuses, leaderboards and readiness. What all processes take beside
workers is added up by `operator/tests/chart/test_connection_budget.py`."""

ACCEPT_BACKLOG = 10_000
"""Accepts that may wait for a commit at once; more get 503, and need not wait for it."""

NETWORK_IPV4_PREFIX, NETWORK_IPV6_PREFIX = 24, 48
"""The network around an address: what a provider gives one customer who asks for more."""

NETWORK_SHARE = 10
"""Calls that such a network may make, by those that one of its addresses may."""

_FIRST_POLL_SECONDS = 1.0
"""How long the start waits to know how full the lines are; clients of a socket that a supervisor
holds wait as long."""

_log = structlog.get_logger(__name__)


async def run(settings: IngestSettings) -> int:
    """Serve until told to stop; the exit code."""
    return await process.run("ingest", settings, _serve, is_traced=True)


async def _serve(settings: IngestSettings, stopping: Stopping) -> None:
    if settings.auth == "off":
        _log.warning("auth_is_off", meaning="every client may do everything that /api offers")
    ingest = Ingest(settings)
    tune_garbage_collection()
    await ingest.run(stopping)


class Ingest:
    """Runs one ingest process: makes its parts in the order in which they need each other."""

    def __init__(self, settings: IngestSettings) -> None:
        """Nothing is opened before `run`."""
        self._settings = settings
        timeout = settings.commit_timeout_seconds
        database = partial(Database, settings.database_url, timeout_seconds=timeout)
        self._writing = database(name="shortlist-ingest accept", connections=ACCEPT_CONNECTIONS)
        self._reading = database(name="shortlist-ingest read", connections=READ_CONNECTIONS)
        self._redis = redis.connect(settings.redis_url)
        self.lines = LineRegistry(self._reading, self._redis, self._writing.learn_clock)
        self._publisher = Publisher(self.lines)
        metrics.CONNECTIONS_OPEN.labels("ingest").set_function(
            lambda: self._writing.open + self._reading.open + self.hiring.postgres_connections
        )
        proxies = _proxies(settings)
        budget = Budget(settings.client_memory_bytes or share_of(machine.memory_bytes()))
        metrics.CLIENT_BYTES.set_function(lambda: budget.held_bytes)
        metrics.CLIENT_BYTES_ALLOWED.set(budget.limit_bytes)
        self.connections = ConnectionTable(_limits(settings, proxies), budget)
        self._group_commit = GroupCommit(
            self._writing,
            budget,
            flushers=ACCEPT_CONNECTIONS,
            timeout_seconds=settings.commit_timeout_seconds,
            backlog=ACCEPT_BACKLOG,
            on_accepted=self._publisher.publish,
        )
        reader = ApplicationReader(self._reading)
        statuses = Statuses(reader, self.lines)
        self.announcements = Announcements(self._redis)
        self._events = EventStreams(statuses, reader, self.announcements, self.connections)
        self._dashboard = DashboardProxy(settings.dashboard_url)
        self._keys = ApiKeys(self._reading)
        self.access = Access(
            self._keys if settings.auth == "on" else None, _public_rates(settings, proxies)
        )
        clients = _client_rates(settings, proxies)
        self.hiring = Gateway(self._needs_of_hiring(), clients)
        app = partial(
            IngestApp,
            submissions=Submissions(
                self._group_commit, self.lines, body_limit_bytes=settings.body_limit_bytes
            ),
            statuses=statuses,
            events=self._events,
            hiring=self.hiring,
            dashboard=self._dashboard,
            health=probes.health_routes(readiness=self._readiness),
            clients=clients,
        )
        self.app = app(
            serves=public_groups(settings),
            scoring=ScoringAccess(self.access, CLOSED[settings.scoring_auth]),
        )
        self._private_app = partial(
            app, serves=ALL, scoring=ScoringAccess(self.access, CLOSED["open"])
        )
        self.fast_path = self._fast_path()

    def _needs_of_hiring(self) -> Needs:
        return Needs(
            settings=self._settings,
            lines=self.lines,
            on_submitted=self._publisher.publish,
            redis=self._redis,
            announcements=self.announcements,
            connections=self.connections,
            access=self.access,
        )

    @property
    def _open_path(self) -> str | None:
        return HIRING if self._settings.auth == "off" else None

    def _fast_path(self) -> FastPost | None:
        """Make the fast path; None where rates are limited, keys asked for, or traces recorded."""
        settings = self._settings
        needs_keys = "clients" in CLOSED[settings.scoring_auth]
        if settings.rate_limit_per_second or needs_keys or traces.is_tracing():
            return None
        names = LocalNames(settings.allowed_hosts)
        return FastPost(
            self._group_commit, self.lines, names, body_limit_bytes=settings.body_limit_bytes
        )

    async def run(self, stopping: Stopping) -> None:
        """Serve until told to stop."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            with suppress(Exception):  # not there yet, and logged: requests get 503 until it is
                async with asyncio.timeout(_FIRST_POLL_SECONDS):
                    await self.lines.poll()
            server = await stack.enter_async_context(
                http_server.serve(
                    self.app,
                    self._settings,
                    connections=self.connections,
                    fast_path=self.fast_path,
                    open_path=self._open_path,
                )
            )
            await stack.enter_async_context(self._serving_staff())
            await stack.enter_async_context(probes.serve_probes(self._readiness, self._settings))
            tasks = Tasks()
            stack.push_async_callback(tasks.end)
            tasks.start(self.lines.run())
            tasks.start(self.announcements.run())
            tasks.start(self._keys.run())
            tasks.start(self.hiring.run())
            tasks.start(stopping.drain.wait())
            await tasks.first()
            tasks.start(self._drain(server))
            await tasks.first()

    @asynccontextmanager
    async def _serving_staff(self) -> AsyncIterator[None]:
        """Serve the private listener, if there is one; its routes take 30 ms to make."""
        if not self._settings.has_private_listener:
            yield
            return
        async with http_server.serve_private(
            self._private_app(), self._settings, open_path=self._open_path
        ):
            yield

    async def _drain(self, server: http_server.HttpServer) -> None:
        """Accept no new connections; answer every open request, publish what was accepted."""
        _log.info("draining")
        self._events.end()
        self.hiring.end_streams()
        await server.stop()
        await self._group_commit.finish()
        await self.hiring.finish()
        await self._publisher.finish()
        _log.info("drained")

    async def _close(self) -> None:
        await self._dashboard.close()
        await self.hiring.close()
        await self._writing.close()
        await self._reading.close()
        await self._redis.aclose()

    async def _readiness(self) -> probes.Health:
        """Report ready when Postgres has our schema and takes writes. Redis may be away."""
        found, redis_state = await asyncio.gather(self._schema(), self._redis_state())
        if found is None:
            return probes.Health(ok=False, detail={"postgres": "unreachable"})
        ok = schema.suffices(found)
        postgres_state = "ok" if ok else f"schema {found or 'missing'}, needed: {schema.NEEDED}"
        return probes.Health(ok=ok, detail={"postgres": postgres_state, "redis": redis_state})

    async def _schema(self) -> str | None:
        try:
            return await self._reading.read(_writable_schema)
        except DatabaseUnavailableError:
            return None

    async def _redis_state(self) -> str:
        return "ok" if await redis.takes_writes(self._redis) else "unreachable"


async def _writable_schema(connection: Connection) -> str:
    await postgres.refuse_read_only(connection)
    return await schema.revision(connection)


def _proxies(settings: IngestSettings) -> Proxies:
    return Proxies(parse_networks(settings.trusted_proxies), settings.trust_forwarded_for)


def _limits(settings: IngestSettings, proxies: Proxies) -> ListenerLimits:
    return ListenerLimits(
        connections=allow_connections(settings.connection_limit),
        per_network=settings.connection_limit_per_network,
        request_seconds=settings.body_timeout_seconds,
        ipv6_prefix=settings.client_ipv6_prefix,
        proxies=proxies,
    )


def _public_rates(settings: IngestSettings, proxies: Proxies) -> tuple[ClientRates, ...]:
    """Make what limits clients without a key: each address, and the network around it."""
    if not settings.public_rate_limit_per_second:
        return ()
    rate, burst = settings.public_rate_limit_per_second, settings.public_rate_limit_burst
    return (
        ClientRates(ClientRate(rate, burst), proxies, settings.client_ipv6_prefix),
        ClientRates(
            ClientRate(rate * NETWORK_SHARE, burst * NETWORK_SHARE),
            proxies,
            min(NETWORK_IPV6_PREFIX, settings.client_ipv6_prefix),
            NETWORK_IPV4_PREFIX,
        ),
    )


def _client_rates(settings: IngestSettings, proxies: Proxies) -> ClientRates | None:
    if not settings.rate_limit_per_second:
        return None
    rate = ClientRate(settings.rate_limit_per_second, settings.rate_limit_burst)
    return ClientRates(rate, proxies, settings.client_ipv6_prefix)
