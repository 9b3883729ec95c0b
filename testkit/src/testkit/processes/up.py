"""`shortlist up` as a real process that a test may watch, interrupt and kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
import psutil

from shortlist.embedded.supervision.data_directory import holders
from testkit.processes import reaper
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_READY_SECONDS = 150.0  # about 3 s on a quiet machine; tests share two cores


@dataclass
class Up:
    """One run of the command in ``directory``."""

    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def data(self) -> Path:
        """Where it keeps everything."""
        return self.directory / ".shortlist"

    @property
    def output(self) -> str:
        """All that it printed, errors too."""
        return (self.directory / "output").read_text(encoding="utf-8", errors="replace")

    @property
    def url(self) -> str:
        """Where it said that it listens."""
        ready = next(line for line in self.output.splitlines() if line.startswith("Ready at "))
        return ready.split()[2]

    def logs(self) -> str:
        """The end of every log, for a test that fails."""
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}"
            for log in sorted((self.data / "logs").glob("*.log"))
        )

    async def ready(self) -> str:
        """Wait until it says so; where it listens."""

        async def look() -> bool:
            assert self.process.poll() is None, f"it ended: {self.output}\n{self.logs()}"
            return "Ready at " in self.output

        await until(look, within_seconds=_READY_SECONDS, what="shortlist up is ready")
        return self.url

    async def said(self, words: str, within_seconds: float = 60.0) -> None:
        """Wait until it prints some words."""

        async def look() -> bool:
            return words in self.output

        await until(look, within_seconds=within_seconds, what=f"it says {words!r}: {self.output}")

    async def page(self) -> str:
        """Wait until the dashboard, which starts after ingest, shows its page; the media type."""

        async def look() -> str | None:
            async with aiohttp.ClientSession(self.url) as session, session.get("/") as page:
                return page.content_type if page.status == HTTPStatus.OK else None

        shown = await until(look, within_seconds=_READY_SECONDS, what="the dashboard's page")
        assert shown is not None
        return shown

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    async def ended(self, within_seconds: float = 90.0) -> int:
        """Its exit code."""

        async def look() -> bool:
            return self.process.poll() is not None

        await until(look, within_seconds=within_seconds, what=f"it ends: {self.output}")
        return int(self.process.returncode)

    def children(self) -> dict[str, psutil.Process]:
        """What it started: ``ingest``, ``worker …`` and so on → the process."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # it ended just now
                found[f"{_name(child)} {child.pid}"] = child
        return found

    def child(self, name: str) -> psutil.Process:
        """One child by the beginning of its name."""
        return next(p for n, p in self.children().items() if n.startswith(name))

    async def living_child(self, name: str) -> psutil.Process:
        """The same, when there is one: just now they may all be on their way to be replaced."""

        async def look() -> psutil.Process | None:
            return next((p for n, p in self.children().items() if n.startswith(name)), None)

        child = await until(look, within_seconds=_READY_SECONDS, what=f"there is a {name}")
        assert child is not None
        return child

    def descendants_left(self) -> list[int]:
        """Processes of this run that still live."""
        return holders((self.data / "children.lock").resolve())


def _name(child: psutil.Process) -> str:
    arguments = child.cmdline()
    is_ours = "shortlist" in arguments
    return arguments[arguments.index("shortlist") + 1] if is_ours else str(child.name())


@contextmanager
def running(
    directory: Path,
    *arguments: str,
    prefix: tuple[str, ...] = (),
    python: str = sys.executable,
    **environment: str,
) -> Iterator[Up]:
    """Run ``shortlist up`` on a free port; nothing of it is left at the end."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SHORTLIST_") and name not in ("DATABASE_URL", "REDIS_URL")
    }
    port = () if "--port" in arguments else ("--port", "0")
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(
            [*prefix, python, "-m", "shortlist", "up", *port, *arguments],
            cwd=directory,
            env=variables | {"PYTHONUNBUFFERED": "1"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    reaper.entrust(process)
    up = Up(directory, process)
    try:
        yield up
    except BaseException:
        print(f"{up.output}\n{up.logs()}")  # noqa: T201 (pytest shows it when the test fails)
        raise
    finally:
        process.kill()
        process.wait()
