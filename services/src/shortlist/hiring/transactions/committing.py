"""Commits a transaction, and waits for what Postgres says of it longer than for the rest."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

GRACE_LOOKS: Final = 8
LOOK_SECONDS: Final = 0.05
"""After the deadline: with the time-out of 1.5 s an answer comes within the promised 2 s. In looks,
since a process that did not run for a while has heard nothing meanwhile: that costs it one."""


class Transaction(Protocol):
    """What was begun on a connection."""

    async def commit(self) -> None:
        """Have it happen."""


async def commit(transaction: Transaction) -> None:
    """Commit; when the caller's deadline passes meanwhile, wait for the answer all the same.

    A COMMIT that was sent cannot be taken back: a client that is told 503 then would be told that
    nothing has changed. Only when Postgres says nothing for so many looks the deadline counts.
    """
    sent = asyncio.ensure_future(transaction.commit())
    try:
        await asyncio.shield(sent)
    except asyncio.CancelledError:
        looks = iter(range(GRACE_LOOKS))
        while not sent.done():
            if next(looks, None) is None:
                raise
            await asyncio.wait({sent}, timeout=LOOK_SECONDS)
        sent.result()
    finally:
        sent.cancel()  # which does nothing to what is done
