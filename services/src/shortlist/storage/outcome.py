"""Waits a little longer for what Postgres says of a statement that cannot be taken back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

LOOK_SECONDS: Final = 0.05
"""How long a look waits for an answer that is not there yet."""


async def outcome_of(statement: Coroutine[object, object, T], *, looks: int) -> T:
    """Run a statement that commits; cancelled meanwhile, look so many times for its answer.

    For work under `asyncio.timeout`, which tells its own cancellation from others: with an answer
    this returns, though it was cancelled.

    What was sent cannot be taken back: a client that is told 503 then would be told that nothing
    has changed. In looks, not in seconds: a process that did not run for a while finds its time
    over, and the answer, which it has not read yet, in its socket.
    """
    sent = asyncio.ensure_future(statement)
    try:
        return await asyncio.shield(sent)
    except asyncio.CancelledError:
        left = iter(range(looks))
        while not sent.done():
            if next(left, None) is None:
                raise
            await asyncio.wait({sent}, timeout=LOOK_SECONDS)
        return sent.result()
    finally:
        sent.cancel()  # which does nothing to what is done
