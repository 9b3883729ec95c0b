"""What a process arranges with the operating system and with Python, to serve many for long."""

from __future__ import annotations

import gc
import resource

import structlog

from shortlist.http.connections import refusable
from shortlist.runtime.process import CannotStartError

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


class TooFewFilesError(CannotStartError):
    """A process may open so few files that no client could be let in."""

    event = "too_few_files"


def allow_connections(wanted: int) -> int:
    """Raise the limit of open files as far as needed and allowed; returns the connections."""
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


def tune_garbage_collection() -> None:
    """Exempt what was made at start, and collect the rest often and in small portions.

    A collection holds Python's lock from its beginning to its end, so that no thread answers: not
    even the one of the probes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
