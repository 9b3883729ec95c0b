"""Shortlist as real processes that a test may break, and that are replaced when they die.

A `Stack` does what Kubernetes or ``shortlist up`` would: it starts processes, waits until they are
ready, and starts a successor for each that dies, on the same port and without the failpoints that
killed it. It leaves nothing behind (`testkit.processes.reaper`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import pathlib
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

import aiohttp

from testkit.processes import reaper
from testkit.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from testkit.processes.pod import Pod

Role = Literal["ingest", "worker", "maintenance", "dashboard", "operator"]

_OPERATOR = ["shortlist_operator"]
"""How Python is told to run it: it is a distribution of its own."""

PATCHES = pathlib.Path(__file__).parents[1] / "unguarded"
"""Where Python finds what switches a guard off in a process that starts."""

_POLL_INTERVAL_SECONDS = 0.05
_LOG_TAIL_CHARACTERS = 3_000

_FIRST_PORT, _LAST_PORT, _BLOCK = 20_000, 32_000, 100
"""Below the ephemeral ports, so that no client's own port is ever in a server's way."""


def free_port() -> int:
    """A port on which no process listens, and that no other test process gives out.

    It stays free between the death of a server and its successor: that is why the kernel cannot be
    asked for one.
    """
    for port in itertools.islice(_ports(), _BLOCK):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError(f"all of this process's {_BLOCK} ports are taken")


@functools.cache
def _ports() -> Iterator[int]:
    """This process's own block of ports, again and again."""
    for first in range(_FIRST_PORT, _LAST_PORT, _BLOCK):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0shortlist-test-ports-{first}")  # until this process ends
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return itertools.cycle(range(first, first + _BLOCK))
    raise AssertionError("too many test processes at once")


_claims: list[socket.socket] = []


@dataclass
class Service:
    """One process and its successors: same role, same port, same settings."""

    role: Role
    name: str
    environment: dict[str, str]
    directory: Path
    port: int = field(default_factory=free_port)
    wanted: bool = True
    """Whether a successor is started when it dies."""
    deaths: list[int] = field(default_factory=list)
    """Exit codes of those that died though they were wanted; minus the signal's number."""
    within: Pod | None = None
    """Whose memory is limited, its and its successors'."""
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether it runs (a stopped one does)."""
        return self.process.poll() is None

    @property
    def log(self) -> str:
        """All that it and its predecessors said."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def _log_path(self) -> Path:
        return self.directory / f"{self.name}.log"

    def spawn(self) -> None:
        """Start a process."""
        module = _OPERATOR if self.role == "operator" else ["shortlist", self.role]
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *module],
                env=self.environment | {"SHORTLIST_PORT": str(self.port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=None if self.within is None else self.within.enter,  # noqa: PLW1509 (one write)
            )
        reaper.entrust(self.process)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it still runs."""
        if self.alive:
            self.process.send_signal(number)

    def kill(self) -> None:
        """Die at once. A successor follows if one is wanted."""
        self.signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop, as a machine that swaps or a VM that migrates."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self.signal(signal.SIGCONT)

    async def health(self) -> dict[str, Any]:
        """What ``/readyz`` says, with its ``code``."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/readyz") as reply:
            return {**await reply.json(), "code": reply.status}

    async def says(self, what: str, within_seconds: float, **wanted: object) -> None:
        """Wait until ``/readyz`` says this; ``what`` it means, for the test's reader."""

        async def look() -> bool:
            return wanted.items() <= (await self.health()).items()

        try:
            await until(look, within_seconds=within_seconds, what=f"{self.name}: {what}")
        except AssertionError as error:
            raise AssertionError(f"{error} ({await self.health()})") from None

    def terminate(self) -> None:
        """Be asked to end; no successor."""
        self.wanted = False
        self.signal(signal.SIGTERM)

    def remove(self) -> None:
        """Die at once; no successor."""
        self.wanted = False
        self.kill()

    async def exit_code(self, within_seconds: float = PATIENCE_SECONDS) -> int:
        """How it ended; minus the signal's number when one killed it."""

        async def ended() -> bool:
            return not self.alive

        await until(ended, within_seconds=within_seconds, what=f"{self.name} ends")
        assert self.process.returncode is not None
        return int(self.process.returncode)

    async def succeeded(self, times: int, within_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until its successor was started, for the n-th time."""

        async def look() -> bool:
            return len(self.deaths) >= times

        await until(look, within_seconds=within_seconds, what=f"{self.name} has a successor")

    async def ready(self, within_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until ``/readyz`` says so."""

        async def look() -> bool:
            was_killed = self.process.poll() == -signal.SIGKILL  # a failpoint: a successor comes
            started = self.alive or self.deaths or was_killed
            assert started, f"{self.name} did not start: {self.tail()}"
            return await status_of(f"{self.url}/readyz") == 200

        await until(
            look, within_seconds=within_seconds, what=f"{self.name} is ready: {self.tail()}"
        )

    async def metric(self, name: str) -> float:
        """The sum of a metric's samples, over all labels."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/metrics") as reply:
            samples = (line.rpartition(" ") for line in (await reply.text()).splitlines())
            return sum(float(v) for n, _, v in samples if n.partition("{")[0] == name)

    def tail(self) -> str:
        """The end of its log."""
        return self.log[-_LOG_TAIL_CHARACTERS:]

    def bury(self) -> None:
        """End it now, whatever state it is in, and wait for that."""
        self.remove()
        self.process.wait()


async def status_of(url: str, timeout_seconds: float = 5.0) -> int | None:
    """The status of a GET; None when there was no answer."""
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as reply:
            return reply.status
    except (aiohttp.ClientError, OSError):
        return None


class Stack:
    """Processes around one Postgres database and one Redis; an async context manager."""

    def __init__(
        self, directory: Path, database_url: str, redis_url: str, **settings: object
    ) -> None:
        """``settings`` are for all processes: ``service_seconds=0.1`` and so on.

        ``unguarded`` is one of them: which guards no process is to have, as for `start`.
        """
        self._unguarded = str(settings.pop("unguarded", ""))
        self.directory = directory
        self.database_url = database_url
        self.services: list[Service] = []
        self.expected_deaths = {-signal.SIGKILL}
        """Exit codes that are the test's doing; minus the signal's number."""
        self._environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "SHORTLIST_HOST": "127.0.0.1",
            # A crowded machine is not what most tests are about; the default is 1.5 s.
            "SHORTLIST_COMMIT_TIMEOUT_SECONDS": "10",
            **_variables(settings),
        }
        self._keeper: asyncio.Task[None] | None = None

    async def start(
        self,
        role: Role,
        *,
        wait: bool = True,
        unguarded: str = "",
        variables: dict[str, str] | None = None,
        within: Pod | None = None,
        port: int | None = None,
        **settings: object,
    ) -> Service:
        """Start a process and wait until it is ready; ``settings`` are for this one.

        ``unguarded``: which guards (`unguarded/guards.py`, split by ``,``) it is to be without.
        ``variables``: of the environment, that are no settings of ours. ``within``: where it lives.
        ``port``: where it listens, if not on one that is free.
        """
        name = f"{role}-{len(self.services)}"
        environment = self._environment | _variables(settings) | (variables or {})
        environment |= without_guards(",".join(filter(None, [self._unguarded, unguarded])))
        service = Service(
            role, name, environment, self.directory, port or free_port(), within=within
        )
        service.spawn()
        self.services.append(service)
        if wait:
            await service.ready()
        return service

    async def start_all(self, *roles: Role) -> list[Service]:
        """Start processes side by side and wait until all are ready."""
        services = [await self.start(role, wait=False) for role in roles]
        await self.ready()
        return services

    async def ready(self) -> None:
        """Wait until every process that runs is ready."""
        await asyncio.gather(*(service.ready() for service in self.services if service.wanted))

    def assert_no_crash(self) -> None:
        """Kills are the tests' doing; whatever else ends a process by itself is a bug."""
        crashed = [s for s in self.services if set(s.deaths) - self.expected_deaths]
        assert not crashed, "crashed: " + "\n".join(f"{s.name}: {s.tail()}" for s in crashed)

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._keeper is not None
        self._keeper.cancel()
        for service in self.services:
            service.bury()
        if error is not None:
            for service in self.services:
                print(f"--- {service.name}, died {service.deaths}\n{service.tail()}")  # noqa: T201 (pytest shows it when the test fails)
        else:
            self.assert_no_crash()

    async def _keep(self) -> None:
        """Replace the dead, for ever."""
        while True:
            for service in self.services:
                if service.wanted and not service.alive:
                    _succeed(service)
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)


def _succeed(service: Service) -> None:
    assert service.process.returncode is not None
    service.deaths.append(service.process.returncode)
    service.environment.pop("SHORTLIST_FAILPOINTS", None)
    service.spawn()


def without_guards(names: str) -> dict[str, str]:
    """Variables that make a Python process, and its children, start without these guards."""
    return {"UNGUARDED": names, "PYTHONPATH": str(PATCHES)} if names else {}


def _variables(settings: dict[str, object]) -> dict[str, str]:
    return {f"SHORTLIST_{name.upper()}": str(value) for name, value in settings.items()}
