"""A kubelet in a process of its own: asks pages, each time anew, and writes what that took.

What a test measures in its own process is also how busy that is. And how busy the machine is, is in
each figure: so the same page of a process with nothing to do (`reference`) is asked at the same
moments. Each line of the output is a port, a status and seconds. As a program: ``prober.py PATH
PORT…``; with ``serve PORT`` it is the reference.
"""

from __future__ import annotations

import asyncio
import http.client
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shortlist.domain.percentiles import nearest_rank

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAUSE_SECONDS = 0.01
_TIMEOUT_SECONDS = 30.0


@dataclass
class Answers:
    """What a page answered since these were last cleared."""

    statuses: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def clear(self) -> None:
        """Forget them."""
        self.statuses.clear()
        self.seconds.clear()

    def percentile(self, percent: float) -> float:
        """The time within which so many of a hundred were answered."""
        return nearest_rank(sorted(self.seconds), percent / 100)


@asynccontextmanager
async def probing(path: str, *ports: int) -> AsyncIterator[list[Answers]]:
    """Ask for the length of the block, one port after the other."""
    process = await _started(path, *map(str, ports))
    answers = {port: Answers() for port in ports}
    reading = asyncio.create_task(_read(process, answers))
    try:
        yield list(answers.values())
    finally:
        process.kill()
        await process.wait()
        await reading


@asynccontextmanager
async def reference(port: int) -> AsyncIterator[None]:
    """A health listener like ingest's, in a process that has nothing else to do."""
    process = await _started("serve", str(port))
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"serving\n"
        yield
    finally:
        process.kill()
        await process.wait()


async def _started(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-u", __file__, *arguments, stdout=asyncio.subprocess.PIPE
    )


async def _read(process: asyncio.subprocess.Process, answers: dict[int, Answers]) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        port, status, seconds = line.decode().split()
        answers[int(port)].statuses.append(int(status))
        answers[int(port)].seconds.append(float(seconds))


def ask(port: int, path: str, timeout_seconds: float = _TIMEOUT_SECONDS) -> int:
    """The status of one answer; 0: there was none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        reply.read()
    except OSError:
        return 0
    else:
        return reply.status
    finally:
        connection.close()


def _ask_on(path: str, ports: list[int]) -> None:
    while True:
        for port in ports:
            began = time.monotonic()
            status = ask(port, path)
            seconds = time.monotonic() - began
            sys.stdout.write(f"{port} {status} {seconds}\n")  # at once: this process is killed
        time.sleep(PAUSE_SECONDS)


async def _serve(port: int) -> None:
    from shortlist.runtime import probes  # noqa: PLC0415 (as above)
    from shortlist.settings import CommonSettings  # noqa: PLC0415 (as above)
    from shortlist.telemetry import logs  # noqa: PLC0415 (who only asks has no use for it)

    settings = CommonSettings(host="127.0.0.1", metrics_port=port, log_level="error")
    logs.configure(settings, "reference")
    async with probes.serve_probes(probes.always_ok, settings):
        print("serving")  # noqa: T201 (it is the output)
        await asyncio.Event().wait()


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "serve":
        import uvloop

        uvloop.run(_serve(int(rest[0])))
    else:
        _ask_on(what, list(map(int, rest)))
