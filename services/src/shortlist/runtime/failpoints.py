"""Named places where a test may break a process, and named guards that it may turn off.

Off unless the environment says otherwise, and then loud: a process that starts with either logs
a warning. ``SHORTLIST_FAILPOINTS`` is ``name=action[@n]`` pairs split by ``;``: from the n-th
passage on (default 1) ``kill`` (SIGKILL to itself), ``stop`` (SIGSTOP to itself, once),
``sleep:S`` (S seconds), ``error`` (raises `FailpointError`). ``SHORTLIST_GUARDS_OFF`` is names of
`Guard` split by ``,``: each promise's test proves that it notices the guard's absence.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from functools import cache
from typing import Literal, get_args

Failpoint = Literal[
    "ingest.before_commit",
    "ingest.after_commit",
    "ingest.after_answer",
    "ingest.after_publish",
    "worker.after_pull",
    "worker.after_claim",
    "worker.before_complete",
    "worker.after_complete",
    "worker.after_acknowledge",
    "maintenance.before_publish",
    "maintenance.after_publish",
    "maintenance.mid_lead",
]

Guard = Literal[
    "durable_accept",  # answer 202 only after the commit
    "sweep",  # find what is neither finished, held, scheduled nor in the line
    "fence",  # only the latest attempt may write, and only once
    "resume",  # take the claim again when its connection broke
    "line_capacity",  # 429 when the line is full
    "commit_timeout",  # 503 when Postgres does not answer
    "graceful_drain",  # finish or give back on SIGTERM
    "leader_fence",  # a former leader writes nothing
    "grant_limit",  # in flight stays within the grant
    "connection_budget",  # all grants together stay within what Postgres can give
    "drain_first",  # a worker is emptied before it is let go
    "snapshot_safe",  # what the hot queries read is not bloated by state changes
    "body_limit",  # 413 for a body over the limit
]


class FailpointError(RuntimeError):
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


@cache
def guards_off() -> frozenset[str]:
    """The guards that this process runs without."""
    names = frozenset(filter(None, os.environ.get("SHORTLIST_GUARDS_OFF", "").split(",")))
    if unknown := names - set(get_args(Guard)):
        raise ValueError(f"SHORTLIST_GUARDS_OFF names no guard: {sorted(unknown)}")
    return names


def guarded(guard: Guard) -> bool:
    """Whether a guard is on. Always, except under its own off-switch test."""
    return guard not in guards_off()


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
