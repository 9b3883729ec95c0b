"""Commits a transaction, and waits for what Postgres says of it longer than for the rest."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

GRACE_SECONDS: Final = 0.4
"""After the deadline: with the time-out of 1.5 s an answer comes within the promised 2 s."""


class Transaction(Protocol):
    """What was begun on a connection."""

    async def commit(self) -> None:
        """Have it happen."""


async def commit(transaction: Transaction) -> None:
    """Commit; when the caller's deadline passes meanwhile, wait for the answer all the same.

    A COMMIT that was sent cannot be taken back: a client that is told 503 then would be told that
    nothing has changed. Only when Postgres says nothing for `GRACE_SECONDS` the deadline counts.
    """
    sent = asyncio.ensure_future(transaction.commit())
    try:
        await asyncio.shield(sent)
    except asyncio.CancelledError:
        await asyncio.wait({sent}, timeout=GRACE_SECONDS)
        if not sent.done():
            raise
        sent.result()
    finally:
        sent.cancel()  # which does nothing to what is done
