"""A cache whose size in bytes is bounded: of what clients send they choose the length, too."""

from __future__ import annotations

from functools import lru_cache, wraps
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable

Text = TypeVar("Text", str, bytes)
Rest = TypeVarTuple("Rest")
Result = TypeVar("Result")

LONGEST = 256
"""A host name has 253 characters, and a port; an address has fewer. Longer text costs its sender
the computing of it each time, and us no memory: 4 096 heads of 32 KiB would be 128 MiB."""


def remembers_short(
    maxsize: int,
) -> Callable[[Callable[[Text, *Rest], Result]], Callable[[Text, *Rest], Result]]:
    """`functools.lru_cache` of a function of a text, for texts up to `LONGEST` alone."""

    def decorate(function: Callable[[Text, *Rest], Result]) -> Callable[[Text, *Rest], Result]:
        cached = cast("Callable[[Text, *Rest], Result]", lru_cache(maxsize)(function))

        @wraps(function)
        def call(text: Text, *rest: *Rest) -> Result:
            return cached(text, *rest) if len(text) <= LONGEST else function(text, *rest)

        return call

    return decorate
