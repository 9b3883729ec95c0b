"""Which experiments there are, and which of them a quick run does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.bench.figures import (
    accepts,
    efficiency,
    growth,
    limits,
    memory,
    noop,
    reads,
    recovery,
    scale,
    startup,
)
from loadtest.bench.hiring import applies, deadlines, middle, past, scores, snapshot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loadtest.bench.bench import Bench
    from loadtest.bench.figure import Figure


@dataclass(frozen=True, slots=True)
class Experiment:
    """``run`` measures; ``heading`` stands above its table."""

    heading: str
    run: Callable[[Bench], Awaitable[list[Figure]]]
    is_quick: bool = True


EXPERIMENTS = {
    "limits": Experiment("What this machine can do", limits.run),
    "accepts": Experiment("Accepting", accepts.run),
    "reads": Experiment("Reading a status", reads.run),
    "noop": Experiment("Through accept, line, claim and write", noop.run),
    "recovery": Experiment("After kill -9", recovery.run),
    "efficiency": Experiment("Worker efficiency at 1.5 s", efficiency.run),
    "efficiency_short": Experiment("Worker efficiency at 0.15 s", efficiency.run_short),
    "scale": Experiment("Ten thousand and a million applications", scale.run, is_quick=False),
    "noop_drain": Experiment("From a full line", noop.run_drain, is_quick=False),
    "memory": Experiment("Memory", memory.run, is_quick=False),
    "startup": Experiment("Starting", startup.run, is_quick=False),
    "growth": Experiment("How the cost grows", growth.run, is_quick=False),
    "hiring_applies": Experiment("Hiring: applying", applies.run, is_quick=False),
    "hiring_middle": Experiment("Hiring: in the middle of a line", middle.run, is_quick=False),
    "hiring_past": Experiment("Hiring: a long line and a long past", past.run, is_quick=False),
    "hiring_deadlines": Experiment("Hiring: deadlines", deadlines.run, is_quick=False),
    "hiring_scores": Experiment("Hiring: scores", scores.run, is_quick=False),
    "hiring_snapshot": Experiment("Hiring: an old snapshot", snapshot.run, is_quick=False),
}

GROUPS = {"hiring": tuple(name for name in EXPERIMENTS if name.startswith("hiring_"))}
"""Several experiments by one name."""
