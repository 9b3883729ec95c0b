"""The product's acts and settlements as its processes run them, on a test's database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.hiring.acts import Acts
from shortlist.hiring.settlement import ArrivedScore, settle
from shortlist.hiring.transactions import SESSION
from shortlist.storage.postgres.database import Database

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shortlist.domain.hiring.placement import OpeningId
    from shortlist.storage.postgres import Connection

_PATIENT_SECONDS = 30.0
_PATIENT = {
    "lock_timeout": "30 s",
    "idle_in_transaction_session_timeout": "30 s",
    "statement_timeout": "30 s",
}
"""A busy machine is not what these tests are about."""


def acts_on(
    database_url: str, *, name: str = "acts", timeout_seconds: float = _PATIENT_SECONDS
) -> tuple[Acts, Database]:
    """Acts as ingest has them, on connections whose application name is ``name``."""
    database = Database(
        database_url,
        name=name,
        connections=2,
        timeout_seconds=timeout_seconds,
        settings={**SESSION, **_PATIENT},
    )
    return Acts(database, on_submitted=lambda _: None, on_committed=lambda _: None), database


async def settled(
    connection: Connection,
    opening_id: OpeningId,
    scores: Sequence[ArrivedScore] = (),
) -> None:
    """Settle an opening as the leader does, and have scores arrive, until nothing is left."""
    left: Mapping[OpeningId, Sequence[ArrivedScore]] = {opening_id: scores} if scores else {}
    again: frozenset[OpeningId] = frozenset({opening_id})
    while again or any(left.values()):
        async with connection.transaction():
            done = await settle(connection, [opening_id], left)
        again, left = done.again, done.left
