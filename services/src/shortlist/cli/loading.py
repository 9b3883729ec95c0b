"""Imports what a process needs, quickly and without being in the way.

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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PROCESSES = ("ingest", "worker", "maintenance", "dashboard")
_IN_NO_HURRY = frozenset({"worker", "maintenance", "dashboard"})

STARTING_NICE = 5
"""A third of what ingest gets while both want the same core (sched(7): 335 to 1024). No nicer:
where everything is busy, the workers that would end that must be ready within seconds. At 10, on
two cores with eight others at work, the first took twenty."""


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
