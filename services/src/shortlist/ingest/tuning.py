"""What a process arranges with the operating system and with Python, to serve many for long."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
from typing import TYPE_CHECKING, Any

import structlog

from shortlist.domain.errors import ShortlistError
from shortlist.http.house import refusable

if TYPE_CHECKING:
    from collections.abc import Coroutine

OWN_FILES = 128
"""What ingest keeps for itself of its open files: for Postgres, Redis, the dashboard."""

COLLECT_AFTER = (1_000, 5, 25_000)
"""Of Python's three generations. The younger two are collected together after 7 000 new objects,
which takes some 15 ms of a processor; a collection after 50 000 took up to 130. All objects are
visited after 125 million new ones, because that takes 0.5 s with 10 000 event streams open: the
cycles that a request leaves (an exception, its traceback, its frames) are of new objects, and are
found before.
"""

_log = structlog.get_logger(__name__)


class Stopping:
    """The first SIGTERM or SIGINT asks to drain, the second to stop at once."""

    def __init__(self) -> None:
        """Nothing is asked yet."""
        self.drain, self.at_once = asyncio.Event(), asyncio.Event()

    def listen(self) -> None:
        """Take the process's signals."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.ask)

    def ask(self) -> None:
        """Drain on the first signal, exit at once on the second."""
        if self.drain.is_set():
            self.at_once.set()
        self.drain.set()


class Tasks:
    """What runs side by side, where it matters when any of it ends."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._running: set[asyncio.Task[object]] = set()

    def start(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """Run something, too."""
        task = asyncio.create_task(work)
        self._running.add(task)
        return task

    async def first(self) -> None:
        """Wait until one of them ends; an error that ended it is raised."""
        done, self._running = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def end(self) -> None:
        """Cancel what still runs."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


class TooFewFilesError(ShortlistError, OSError):
    """A process may open so few files that no client could be let in."""


def allow_connections(wanted: int) -> int:
    """Raise the limit of open files as far as needed and allowed; connections that it gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + refusable(wanted) + OWN_FILES
    files = max(soft, min(hard, needed))
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    if files >= needed:
        return wanted
    spare = files - OWN_FILES
    connections = spare - refusable(spare)
    if connections < 1:
        raise TooFewFilesError(
            f"{files} files may be open; {needed} are needed for {wanted} connections (ulimit -n)"
        )
    _log.warning("few_open_files", connections=connections, wanted=wanted, needed=needed)
    return connections


def calm_the_collector() -> None:
    """Leave alone what was made at start, and collect the rest often and in small portions.

    A collection holds Python's lock from its beginning to its end, so that no thread answers: not
    even the one of the probes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
