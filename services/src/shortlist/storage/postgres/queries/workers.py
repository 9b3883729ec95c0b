"""Workers as Postgres knows them: which are alive, and until when their claims hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from shortlist.storage import postgres
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from shortlist.domain.line.application import (
        ApplicationId,
        ConnectionMode,
        PipelineName,
        WorkerId,
    )
    from shortlist.storage.postgres import Connection

LEASE_SECONDS = 3.0
"""How long a perWrite worker's claims outlive its last sign of life. With a look each 0.25 s this
keeps promise 3 (being scored again within 5 s), and three renewals may fail."""

_SHORT_LIST, _LONG_LIST = 4, 128
_NO_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class HeldList:
    """The applications that a worker held at a moment (`shortlist.worker.claims.lists`)."""

    number: int
    """How many lists this worker has made, this one included."""
    ids: Sequence[ApplicationId]


async def enrol(
    connection: Connection, worker_id: WorkerId, pipeline: PipelineName, mode: ConnectionMode
) -> bool:
    """Be known; also after a break of the connection. ``perJob`` holds the worker's lock on it.

    False when Postgres has not noticed yet that the former connection is gone: try again soon.
    """
    if mode == "perJob" and not await postgres.try_lock(connection, worker_id):
        return False
    await SQL["workers.enrol"].execute(
        connection,
        id=worker_id,
        pipeline=pipeline,
        lease_seconds=None if mode == "perJob" else LEASE_SECONDS,
    )
    return True


async def renew(connection: Connection, worker_id: WorkerId, held: HeldList) -> bool:
    """Extend a perWrite worker's lease, for what it holds.

    False: it was declared dead, and must enrol anew.
    """
    renewed = await SQL["workers.renew"].fetchval(
        connection,
        id=worker_id,
        lease_seconds=LEASE_SECONDS,
        lists=held.number,
        holds=_kept_beside_the_row(held.ids),
    )
    return bool(renewed)


def _kept_beside_the_row(ids: Sequence[ApplicationId]) -> Sequence[UUID]:
    """Fill a list up to the length from which Postgres keeps it out of its row (2 kB).

    The rows of workers are written each second and read by every look: with lists in them, an old
    snapshot elsewhere would make the table long within minutes.
    """
    if len(ids) <= _SHORT_LIST:
        return ids
    return [*ids, *[_NO_ID] * (_LONG_LIST - len(ids))]


async def leave(connection: Connection, worker_id: WorkerId) -> None:
    """Gone for good: holds nothing any more."""
    await SQL["workers.leave"].execute(connection, id=worker_id)


async def registered(connection: Connection, pipeline: PipelineName) -> set[WorkerId]:
    """Read workers that enrolled and neither left nor were forgotten."""
    rows = await SQL["workers.registered"].fetch(connection, pipeline=pipeline)
    return {row["id"] for row in rows}


async def dead(connection: Connection) -> dict[WorkerId, PipelineName]:
    """Read workers that are registered and show no sign of life."""
    return {row["id"]: row["pipeline"] for row in await SQL["workers.dead"].fetch(connection)}


async def forget(connection: Connection, worker_ids: Collection[WorkerId]) -> None:
    """Forget those of them that are still dead."""
    await SQL["workers.forget"].execute(connection, ids=list(worker_ids))
