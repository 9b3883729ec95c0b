"""What a fault is, what it may excuse, and the order in which a seed deals them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from testkit.faults.chaos.chaos import Chaos

Excuse = Literal["scores", "time", "errors", "commits"]
"""``scores``: what a worker that it ends or stops was scoring is scored again, and only that.
``time``: while it is on, what is `scoring` may stay so: its verdict waits for a server.
``errors``: attempts that the model itself answered with an error of its own.
``commits``: Postgres ends or stops in the middle of a commit: its client gets 503, and the
application may be there (docs/decisions/0008; an Idempotency-Key makes it safe to ask again)."""


@dataclass(frozen=True)
class Fault:
    """Something that production brings. Anything that it does not excuse is asserted."""

    do: Callable[[Chaos], Awaitable[str]]
    """Begins it and ends it; returns what was drawn, for the report."""
    excuses: frozenset[Excuse]

    @property
    def name(self) -> str:
        """Its name."""
        return self.do.__name__


def fault(*excuses: Excuse) -> Callable[[Callable[[Chaos], Awaitable[str]]], Fault]:
    """Make a fault of a function."""

    def made(do: Callable[[Chaos], Awaitable[str]]) -> Fault:
        return Fault(do, frozenset(excuses))

    return made


@dataclass(frozen=True)
class Draw:
    """One fault of a run, with the chance that its details are drawn by."""

    fault: Fault
    chance: random.Random


def dealt(faults: Sequence[Fault], seed: int) -> Iterator[Draw]:
    """Deal faults from a shuffled deck, and from another one when it is empty.

    So each comes once before any comes again. The details of the n-th follow from the seed and n
    alone, and not from how many others were drawn before.
    """
    chance, number = random.Random(seed), 0
    while True:
        deck = list(faults)
        chance.shuffle(deck)
        for drawn in deck:
            number += 1
            yield Draw(drawn, random.Random(f"{seed} {number}"))
