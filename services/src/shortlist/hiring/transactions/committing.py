"""Commits a transaction, and waits for what Postgres says of it longer than for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from shortlist.storage.outcome import outcome_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

GRACE_LOOKS: Final = 8
"""0.4 s after the deadline: with the time-out of 1.5 s an answer comes within the promised 2 s."""


class Transaction(Protocol):
    """What was begun on a connection."""

    def commit(self) -> Coroutine[object, object, None]:
        """Have it happen."""


async def commit(transaction: Transaction) -> None:
    """Commit; when the caller's deadline passes meanwhile, wait for the answer all the same."""
    await outcome_of(transaction.commit(), looks=GRACE_LOOKS)
