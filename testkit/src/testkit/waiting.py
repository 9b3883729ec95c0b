"""Bounded waits on conditions, so that no test sleeps and hopes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_POLL_SECONDS = 0.05

PATIENCE_SECONDS = 90.0
"""For what takes a moment, and is not promised in time: a machine may have other things to do."""


async def until(
    look: Callable[[], Awaitable[T]],
    *,
    what: str,
    within_seconds: float = PATIENCE_SECONDS,
    poll_seconds: float = _POLL_SECONDS,
) -> T:
    """The first true value that ``look`` gives; an `AssertionError` when there is none in time."""
    deadline = time.monotonic() + within_seconds
    while True:
        if found := await look():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_seconds} s: {what}")
        await asyncio.sleep(poll_seconds)
