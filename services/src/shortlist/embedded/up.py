"""`shortlist up`: everything on one machine, from the first byte to the last.

Exit codes: 0 when it was asked to end and drained; 130 when it was told to stop at once; 1 when it
could not start; 2 for a bad file.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from shortlist.embedded.scaling import machine
from shortlist.embedded.scaling.pipelines import (
    BadPipelineFileError,
    fitted,
    memory_bound,
    read_pipelines,
    workers_at_start,
)
from shortlist.embedded.servers.programs import ServerError
from shortlist.embedded.supervision import data_directory, listening, logs
from shortlist.embedded.supervision.supervisor import StartError, Supervisor
from shortlist.embedded.terminal.screen import Painter, Phase, PlainPainter, Screen, State
from shortlist.ingest.tuning import OWN_FILES
from shortlist.runtime import exit_codes, tasks
from shortlist.runtime.process import Stopping
from shortlist.runtime.tasks import wait_until_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shortlist.domain.line.application import PipelineName
    from shortlist.domain.sizing.pipeline import ScoringPipeline
    from shortlist.embedded.scaling.machine import Machine
    from shortlist.embedded.supervision.data_directory import DataDirectory
    from shortlist.embedded.supervision.listening import Listeners
    from shortlist.embedded.terminal.view import View
    from shortlist.settings import Settings

DEFAULT_DATA = Path(".shortlist")
_LOOPBACK = "127.0.0.1"
_POLL_INTERVAL_SECONDS = 1.0
_WAKE_SECONDS = 0.1
_CHORES_SECONDS = 5.0
_ONE_PRESS_SECONDS = 0.3
"""One Ctrl-C may arrive twice: from the terminal, and from `uv run`."""


async def run(
    settings: Settings, *, data: Path | None, workers: int | None, files: Iterable[Path], demo: bool
) -> int:
    """Run until told to stop; the exit code."""
    # SIGHUP: a terminal that was closed.
    with Stopping(_ONE_PRESS_SECONDS).listening(signal.SIGHUP) as stopping:
        screen = Screen(_painter)
        try:
            return await _run(
                settings, screen, stopping, data or DEFAULT_DATA, workers, files, demo=demo
            )
        except BadPipelineFileError as error:
            return _refuse(screen, error, exit_codes.USAGE)
        except (StartError, ServerError, data_directory.DataDirectoryError) as error:
            return _refuse(screen, error, exit_codes.FAILED)
        finally:
            screen.close()


async def _run(
    settings: Settings,
    screen: Screen,
    stopping: Stopping,
    data: Path,
    workers: int | None,
    files: Iterable[Path],
    *,
    demo: bool,
) -> int:
    with ExitStack() as stack:
        read = await asyncio.to_thread(read_pipelines, files, settings)
        found = _machine(settings)
        pipelines = {
            name: fitted(pipeline, workers, found, pipelines=len(read))
            for name, pipeline in read.items()
        }
        directory = await asyncio.to_thread(stack.enter_context, data_directory.opened(data))
        directory.refuse_a_full_disk()
        listeners = stack.enter_context(listening.listening(settings))
        dashboard = stack.enter_context(socket.create_server((_LOOPBACK, 0)))
        up = Up(settings, directory, pipelines, screen, stopping)
        _say(
            screen,
            memory_bound(read, workers, found),
            machine.few_files(found, settings.connection_limit, OWN_FILES),
        )
        return await up.run(listeners, dashboard, demo=demo)


class Up:
    """One run, from start to end."""

    def __init__(
        self,
        settings: Settings,
        data: DataDirectory,
        pipelines: Mapping[PipelineName, ScoringPipeline],
        screen: Screen,
        stopping: Stopping,
    ) -> None:
        """Nothing runs before `run`."""
        self._settings = settings
        self._data = data
        self._quoted = shlex.quote(str(data.root))
        self._screen = screen
        self._stopping = stopping
        self._supervisor = Supervisor(data, settings, pipelines, screen.say)
        self._workers = {name: workers_at_start(p) for name, p in pipelines.items()}
        intervals = [pipeline.scaling.interval_seconds for pipeline in pipelines.values()]
        self._poll_interval_seconds = min(_POLL_INTERVAL_SECONDS, *intervals)
        self._started_at = time.monotonic()
        self._phase: Phase = "starting"
        self._url = ""
        self._warnings: list[str] = []
        self._chores_at = 0.0
        screen.log = data.log("up")

    async def run(self, listeners: Listeners, dashboard: socket.socket, *, demo: bool) -> int:
        """Start, serve, drain."""
        self._url = listening.url(listeners.public)
        self._screen.say(f"Starting; everything is kept in {self._data.root}.")
        for sentence in _servers_of_others(self._settings):
            self._screen.say(sentence)
        starting = asyncio.create_task(self._supervisor.start(self._workers, listeners, dashboard))
        try:
            if await self._unless_stopped(starting):
                self._phase = "running"
                took = time.monotonic() - self._started_at
                self._screen.say(f"Ready at {self._url} after {took:.1f} s.")
                _say(self._screen, *listeners.sentences())
                command = f"{_program()} --data {self._quoted}"
                self._screen.say(f"Other commands: {command} COMMAND")
                self._screen.say(_about_keys(self._settings, command))
                demo_url = self._url if demo else None
                await self._supervisor.start_the_rest(self._workers, dashboard, demo_url)
                durable = asyncio.create_task(self._supervisor.make_durable())
                await self._serve()
                await durable
        except BaseException:
            await self._supervisor.stop_now()
            raise
        listeners.close_for_clients()
        return await self._end()

    async def _unless_stopped(self, starting: asyncio.Task[None]) -> bool:
        """Tell whether it started before a signal stopped it; raises why it could not."""
        stopped = asyncio.create_task(self._stopping.drain.wait())
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if starting.done():
            starting.result()
            return True
        await tasks.end([starting])
        await asyncio.gather(starting, return_exceptions=True)
        return False

    async def _serve(self) -> None:
        """Observe, size, show, until the first request to stop."""
        while not self._stopping.drain.is_set():
            await self._turn()
            await self._pause()

    async def _pause(self) -> None:
        """Wait for the next turn, or for an application on a line that has no workers."""
        ends_at = time.monotonic() + self._poll_interval_seconds
        while (left := ends_at - time.monotonic()) > 0 and not self._stopping.drain.is_set():
            await wait_until_set(self._stopping.drain, min(left, _WAKE_SECONDS))
            if await self._supervisor.has_work_at_zero():
                return

    async def _end(self) -> int:
        """Drain, and show how that goes; stop at once when asked again."""
        self._phase = "draining"
        self._screen.say(
            "Finishing what is in flight. Ctrl-C again stops at once; nothing is lost."
        )
        draining = asyncio.create_task(self._supervisor.drain())
        hurry = asyncio.create_task(self._stopping.at_once.wait())
        while not draining.done() and not hurry.done():
            if self._supervisor.is_draining:
                await self._turn()
            await asyncio.wait(
                {draining, hurry},
                timeout=_POLL_INTERVAL_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
        if not draining.done():
            await self._supervisor.stop_now()
        await draining
        hurried = hurry.done()
        hurry.cancel()
        self._screen.say(
            "Stopped at once; what was in flight is done again next time."
            if hurried
            else "Drained. What still waits is scored next time."
        )
        return exit_codes.STOPPED if hurried else exit_codes.DONE

    async def _turn(self) -> None:
        self._screen.show(self._state(await self._supervisor.tick()))
        if time.monotonic() >= self._chores_at:
            self._chores_at = time.monotonic() + _CHORES_SECONDS
            await asyncio.to_thread(self._do_chores)

    def _do_chores(self) -> None:
        free = self._data.free_bytes()
        is_low = free < data_directory.LOW_BYTES
        self._warnings = [_low(self._data.root, free)] if is_low else []
        logs.bound(self._data.logs, keep=not is_low)

    def _state(self, view: View) -> State:
        supervisor = self._supervisor
        return State(
            phase=self._phase,
            url=self._url,
            data=self._data.root,
            uptime_seconds=time.monotonic() - self._started_at,
            view=view,
            workers_wanted={n: supervisor.workers_wanted(n) for n in supervisor.pipelines},
            decisions=supervisor.decisions,
            budget=supervisor.budget,
            children={c.name: c.problem for c in supervisor.children if not c.done},
            warnings=self._warnings,
        )


def _servers_of_others(settings: Settings) -> list[str]:
    """Return which servers are used that are not its own, and what named them."""
    database, redis = settings.database_url, settings.redis_url
    pooled = ", through a pooler" if database.pooler else ""
    return [
        *([f"Postgres: {database.shown}{pooled}, by DATABASE_URL."] if database else []),
        *([f"Redis: {redis.shown}, by REDIS_URL."] if redis else []),
    ]


def _about_keys(settings: Settings, command: str) -> str:
    """Return how the first client of ``/api`` gets a key, or that none is needed."""
    if settings.auth == "off":
        return "SHORTLIST_AUTH is off: /api is open to every client."
    scopes = "--scope read --scope apply --scope manage"
    return f"A key for /api: {command} keys create NAME {scopes}"


def _program() -> str:
    """Return what to type for this program: after ``uv run`` it is not on the shell's PATH."""
    script = Path(sys.executable).with_name("shortlist")
    here = Path.cwd()
    return shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))


def _painter() -> Painter:
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from shortlist.embedded.terminal.panel import PanelPainter  # noqa: PLC0415 (rich is not light)

        return PanelPainter()
    return PlainPainter()


def _low(root: Path, free: int) -> str:
    is_full = free < data_directory.RESTART_BYTES
    left = data_directory.megabytes(free)
    return (
        f"The disk of {root} is {'full' if is_full else 'nearly full'}: {left} are free, and "
        " without space nothing is accepted. Free some; what was accepted is not lost."
    )


def _machine(settings: Settings) -> Machine:
    """Read what there is, with as many open files as we want or may have; raises `StartError`."""
    found = machine.read()
    if too_few := machine.too_few_files(found):
        raise StartError(too_few)
    machine.raise_open_files(settings.connection_limit + OWN_FILES)
    return found


def _say(screen: Screen, *sentences: str | None) -> None:
    for sentence in sentences:
        if sentence is not None:
            screen.say(sentence)


def _refuse(screen: Screen, error: Exception, code: int) -> int:
    screen.close()
    sys.stderr.write(f"shortlist: {error}\n")
    return code
