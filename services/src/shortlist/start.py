"""Starts one of our processes: its imports, quickly and without being in the way.

Importing is most of a start, and takes a core for half a second. A worker is started just when
there is much to do, beside an ingest that answers: on one machine it must wait for that one, and
not the other way round. So whatever ingest does not need is imported by a thread of low priority
(on Linux each thread has its own), and the event loop then runs at the usual one.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from shortlist.settings import CommonSettings

PROCESSES = ("ingest", "worker", "maintenance", "dashboard")
_IN_NO_HURRY = frozenset({"worker", "maintenance", "dashboard"})

STARTING_NICE = 5
"""A third of what ingest gets while both want the same core (sched(7): 335 to 1024). No nicer:
where everything is busy, the workers that would end that must be ready within seconds. At 10, on
two cores with eight others at work, the first took twenty."""

_EXIT_FAILED = 1
_EXIT_USAGE = 2


def main() -> None:
    """Run what the arguments name; a process without flags needs no command line's library."""
    open_standard_files()
    if len(sys.argv) == 2 and sys.argv[1] in PROCESSES:  # noqa: PLR2004 (the program and its name)
        sys.exit(_serve(sys.argv[1]))
    import_module("shortlist.cli").main()


def open_standard_files() -> None:
    """Open /dev/null where the parent process closed standard input, output or error.

    The next file or connection would get its number, and children would inherit that as theirs.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            os.set_inheritable(number, True)  # noqa: FBT003 (its only parameter)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 (for the whole run)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 (as above)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 (as above)


def _serve(process: str) -> int:
    load(process)
    report = import_module("shortlist.settings.report")
    try:
        settings = report.load({}, import_module("shortlist.settings").SERVERS[process], process)
    except report.BadSettingsError as error:
        sys.stderr.write(f"shortlist: {error}\n")
        return _EXIT_USAGE
    return run(import_module(f"shortlist.{process}.main").run, settings)


def run(work: Callable[..., Awaitable[int]], settings: CommonSettings, **arguments: Any) -> int:
    """Run a process's coroutine to its end; its exit code."""

    async def run_and_tidy_up() -> int:
        if refusal := await _refusal_of_redis(settings):
            sys.stderr.write(f"shortlist: REDIS_URL cannot be used: {refusal}.\n")
            return _EXIT_FAILED
        code = await work(settings, **arguments)
        await import_module("shortlist.runtime.tasks").end_all_others()
        return code

    return int(import_module("uvloop").run(run_and_tidy_up()))


async def _refusal_of_redis(settings: CommonSettings) -> str | None:
    """Why the Redis that answers cannot serve; None too when none is used, or none answers."""
    url = getattr(settings, "redis_url", None)
    if not url:
        return None
    found: str | None = await import_module("shortlist.storage.redis.fitness").refusal(url)
    return found


def load(process: str) -> None:
    """Import all that a process needs."""
    modules = ("shortlist.settings.report", "uvloop", f"shortlist.{process}.main")
    if process in _IN_NO_HURRY:
        thread = threading.Thread(target=_import_politely, args=(modules,), name="importing")
        thread.start()
        thread.join()
    _import(modules)  # done already, or it says here why it cannot be


def _import_politely(modules: Iterable[str]) -> None:
    if sys.platform == "linux":  # elsewhere a priority is a process's, and cannot be raised again
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), STARTING_NICE)
    with suppress(Exception):
        _import(modules)


def _import(modules: Iterable[str]) -> None:
    """Import; what comes into being meanwhile stays, so that looking for garbage is for nothing."""
    gc.disable()
    try:
        for module in modules:
            import_module(module)
    finally:
        gc.enable()
        gc.freeze()
