"""One supervised process: started, watched, started again when it dies.

A child that is there and does not answer holds what it holds for ever: it is ended, and replaced.
A child that dies young is started again after a growing pause, so that one that cannot run does
not keep a core busy. It never outlives its supervisor: the kernel sends it `Program.death`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from shortlist.embedded.servers.programs import tethered
from shortlist.runtime import tasks
from shortlist.runtime.tasks import poll_until, wait_until_set

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

_YOUNG_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 10.0
_READY_POLL_SECONDS = 0.02

_POLL_INTERVAL_SECONDS = 2.0
"""Between two questions whether it is alive."""

MOST_SILENCES = 5
"""One after the other: 20 s where nothing is answered for 2 s each time, as a worker's own watchdog
allows. Counted, not timed: a supervisor that was itself stopped in between has not asked."""

_MOST_SILENCES_AT_START = 30
"""Until the first answer: a start on a busy machine takes its time."""


def pause_seconds(young_deaths: int) -> float:
    """Return how long to wait after so many young deaths in a row: not at all, then doubling."""
    if young_deaths <= 1:
        return 0.0
    doublings = min(young_deaths - 2, 16)
    return min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * float(2**doublings))


async def _nothing() -> None:
    """For a program that needs no preparation."""


def _keep_nothing() -> None:
    """For a program for which nothing is kept open."""


def _none() -> bool:
    """For a child of which nothing is known to end it for want of memory."""
    return False


async def _at_once() -> bool:
    """For a program that is ready, and alive, when it runs."""
    return True


@dataclass(frozen=True)
class Program:
    """What a child runs, and how it is treated."""

    name: str
    command: Callable[[], list[str]]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside the supervisor's own."""
    inherited: tuple[int, ...] = ()
    prepare: Callable[[], Awaitable[None]] = _nothing
    """Before each start. What it raises counts as a death."""
    is_ready: Callable[[], Awaitable[bool]] = _at_once
    is_alive: Callable[[], Awaitable[bool]] = _at_once
    """Asked all the time: one that does not answer is ended, and replaced."""
    settle: Callable[[], Awaitable[None]] = _nothing
    """After each start, once it is ready."""
    close: Callable[[], None] = _keep_nothing
    """When it has ended for good."""
    drain: signal.Signals = signal.SIGTERM
    stop_now: signal.Signals = signal.SIGKILL
    death: signal.Signals = signal.SIGKILL
    """What the kernel sends when the supervisor dies."""
    drain_seconds: float = 30.0
    """A drain that takes longer is cut short."""
    explain: Callable[[], str] | None = None
    """Says why it does not run, from its log. May block."""
    once: bool = False
    """Whether it is done when it ends well."""


class Child:
    """A `Program` that is kept running from `start` until `drain` or `stop_now`."""

    def __init__(
        self,
        program: Program,
        report: Callable[[str], None] = print,
        any_memory_kill: Callable[[], bool] = _none,
    ) -> None:
        """Nothing runs before `start`. ``report`` gets a sentence for each death.

        ``any_memory_kill``: whether the kernel has just ended a process for want of memory.
        """
        self.program = program
        self._report = report
        self._any_memory_kill = any_memory_kill
        self.ready = asyncio.Event()
        """Set while it runs and is ready."""
        self.deaths = 0
        """How often it ended without being asked to."""
        self.problem = ""
        """Why it is not running, when it is not; empty when it is."""
        self.started_at = time.monotonic()
        """`time.monotonic` of the last start."""
        self._process: asyncio.subprocess.Process | None = None
        self._was_ready = False
        self._is_hung = False
        self._leaving = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Its name, which is also its log's."""
        return self.program.name

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return None if self._process is None else self._process.pid

    @property
    def done(self) -> bool:
        """Whether it has ended for good."""
        return self._keeper is not None and self._keeper.done()

    @property
    def is_leaving(self) -> bool:
        """Whether it was asked to end."""
        return self._leaving.is_set()

    def start(self) -> None:
        """Start it and keep it running."""
        self._keeper = asyncio.create_task(self._run(), name=f"child {self.name}")

    async def finished(self) -> None:
        """Wait until it has ended for good."""
        if self._keeper is not None:
            await asyncio.wait([self._keeper])
            self._keeper.result()

    async def drain(self) -> None:
        """Ask it to finish what it holds and end; insist when it takes too long."""
        self._leave(self.program.drain)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.program.drain_seconds):
                await self.finished()
                return
        self._report(
            f"{self.name} took longer than {self.program.drain_seconds:g} s to end; killed"
        )
        self._leave(signal.SIGKILL)
        await self.finished()

    async def stop_now(self) -> None:
        """End it at once."""
        self._leave(self.program.stop_now)
        await self.finished()

    def _leave(self, signal_number: signal.Signals) -> None:
        self._leaving.set()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal_number)

    async def _run(self) -> None:
        try:
            await self._keep_running()
        finally:
            self.program.close()

    async def _keep_running(self) -> None:
        young_deaths = 0
        while not self._leaving.is_set():
            self.started_at = time.monotonic()
            why = await self._run_once()
            if self._leaving.is_set() or (self.program.once and not why):
                return
            self.deaths += 1
            self.problem = why or "it ended by itself"
            young = time.monotonic() - self.started_at < _YOUNG_SECONDS
            young_deaths = young_deaths + 1 if young else 1
            pause = pause_seconds(young_deaths)
            if self._was_ready:  # or else the caller that waits for its start says what is wrong
                self._report(f"{self.name} is started again{_in(pause)}: {self.problem}")
            await wait_until_set(self._leaving, pause)

    async def _run_once(self) -> str:
        """Run it to its end; why it ended, empty when it ended well."""
        try:
            await self.program.prepare()
            process = await self._spawn()
        except Exception as error:  # whatever keeps it from starting, others go on
            return str(error) or repr(error)
        beside = [
            asyncio.create_task(self._become_ready(), name=f"readying {self.name}"),
            asyncio.create_task(self._end_when_hung(process), name=f"watching {self.name}"),
        ]
        try:
            code = await process.wait()
        finally:
            self._process = None
            self.ready.clear()
            await tasks.end(beside)
            await asyncio.gather(*beside, return_exceptions=True)
        for_memory = code == -signal.SIGKILL and self._any_memory_kill()
        ending = _HUNG if self._is_hung else _ending(code, for_memory=for_memory)
        return await self._explained(ending)

    async def _explained(self, ending: str) -> str:
        if not ending or self._leaving.is_set():
            return ending
        if ending.startswith((_KILLED, _HUNG)):  # its last output says nothing of that
            return f"{ending}; see {self.program.log}"
        explain = self.program.explain or partial(_explain_by_log, ending, self.program.log)
        return await asyncio.to_thread(explain)

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self.program.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *tethered(self.program.command(), death=self.program.death),
                env=os.environ | self.program.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=self.program.inherited,
            )
        if self._leaving.is_set():  # asked to leave while it was being started
            self._leave(self.program.stop_now)
        return self._process

    async def _end_when_hung(self, process: asyncio.subprocess.Process) -> None:
        """End it when it lives and does not answer. While it drains it has a limit of its own."""
        self._is_hung = False
        silences, most = 0, _MOST_SILENCES_AT_START
        while silences < most:
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)
            if await self.program.is_alive():
                silences, most = 0, MOST_SILENCES
            else:
                silences += 1
        if not self._leaving.is_set():
            self._is_hung = True
            process.kill()

    async def _become_ready(self) -> None:
        await poll_until(self.program.is_ready, _READY_POLL_SECONDS)
        await self.program.settle()
        self.problem = ""
        self._was_ready = True
        self.ready.set()


def _explain_by_log(ending: str, log: Path) -> str:
    """Return how it ended, its last output, and where to read more."""
    last = last_line(log)
    return f"{ending}; see {log}" if not last else f"{ending}: {last} (see {log})"


def last_line(log: Path, most_bytes: int = 4096, most_characters: int = 300) -> str:
    """Read the last line of a log that is not empty, cut to what a person wants to read."""
    try:
        with log.open("rb") as text:
            text.seek(max(0, text.seek(0, os.SEEK_END) - most_bytes))
            lines = text.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line.strip()), "")[:most_characters]


def _in(seconds: float) -> str:
    return f" in {seconds:g} s" if seconds else ""


_KILLED = "it was ended by"
_HUNG = "it did not answer any more"


def _ending(code: int, *, for_memory: bool) -> str:
    """Describe an exit code in words; minus the signal's number when one ended it."""
    if code >= 0:
        return f"it ended with code {code}" if code else ""
    if for_memory:
        return f"{_KILLED} SIGKILL; the kernel has just ended a process here for want of memory"
    with suppress(ValueError):
        return f"{_KILLED} {signal.Signals(-code).name}"
    return f"{_KILLED} signal {-code}"
