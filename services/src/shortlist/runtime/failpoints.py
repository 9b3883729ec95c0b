"""Named places where a test may interrupt a process.

A failpoint does nothing unless ``SHORTLIST_FAILPOINTS`` names it: ``name=action[@n]`` pairs split
by ``;``. From the n-th passage on (default 1) the process does the action: ``kill`` (SIGKILL to
itself), ``stop`` (SIGSTOP to itself, once), ``sleep:S`` (S seconds) or ``error`` (raises
`FailpointError`).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from functools import cache
from typing import Literal, get_args

from shortlist.domain.errors import ShortlistError

Failpoint = Literal[
    "ingest.before_commit",
    "ingest.after_commit",
    "ingest.after_answer",
    "ingest.after_publish",
    "hiring.after_lock",
    "hiring.before_commit",
    "hiring.after_commit",
    "worker.after_pull",
    "worker.after_claim",
    "worker.before_complete",
    "worker.after_complete",
    "worker.after_acknowledge",
    "maintenance.before_publish",
    "maintenance.after_publish",
    "maintenance.mid_lead",
]


class FailpointError(ShortlistError, RuntimeError):
    """A test asked for this error."""


@cache
def _actions() -> dict[str, tuple[str, int]]:
    actions: dict[str, tuple[str, int]] = {}
    for pair in filter(None, os.environ.get("SHORTLIST_FAILPOINTS", "").split(";")):
        name, _, action = pair.strip().partition("=")
        if name not in get_args(Failpoint):
            raise ValueError(f"SHORTLIST_FAILPOINTS names no failpoint: {name!r}")
        verb, _, at = action.partition("@")
        actions[name] = (verb, int(at or 1))
    return actions


_passages: Counter[str] = Counter()


async def failpoint(name: Failpoint) -> None:
    """Do what a test asked for at this place; almost free when none did."""
    if not _actions():
        return
    verb, at = _actions().get(name, ("", 0))
    if not verb:
        return
    _passages[name] += 1
    if _passages[name] < at:
        return
    await _act(name, verb, first=_passages[name] == at)


async def _act(name: str, verb: str, *, first: bool) -> None:
    if verb == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif verb == "stop":
        if first:
            os.kill(os.getpid(), signal.SIGSTOP)
    elif verb == "error":
        raise FailpointError(name)
    elif verb.startswith("sleep:"):
        await asyncio.sleep(float(verb.removeprefix("sleep:")))
    else:
        raise ValueError(f"SHORTLIST_FAILPOINTS: unknown action {verb!r} for {name}")
