"""Who may score an application, and whose verdict counts.

A claim is a row in ``attempts``. Its number is the fence: a verdict is written only while no
higher number exists, and only once (``results`` has one row per application). What tells the
holder alive depends on the mode: in ``perJob`` a session advisory lock on the connection that is
kept for the whole score; in ``perWrite`` the lease of the worker, which it renews.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shortlist.domain.errors import ShortlistError
from shortlist.domain.line.application import ApplicationId, Claim, PipelineName, Verdict, WorkerId
from shortlist.domain.line.suspicion import SUSPECT_AFTER, Suspect
from shortlist.storage import postgres
from shortlist.storage.postgres import text
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg import Record

    from shortlist.storage.postgres import Connection


async def claim_held(
    connection: Connection,
    application_id: ApplicationId,
    worker_id: WorkerId,
    *,
    alone: bool = False,
    suspects: bool = False,
) -> Claim | Suspect | None:
    """Claim one application for as long as this connection lives (``perJob``).

    Lock first, look second: what the previous holder wrote before it unlocked is then seen. None
    when a worker holds it, it is finished, or it is not due yet; a `Suspect` when it is one. The
    lock is given back then. ``alone`` and ``suspects`` as in `claim_leased`.
    """
    if not await postgres.try_lock(connection, application_id):
        return None
    claimed = await claim_leased(
        connection, [application_id], worker_id, alone=alone, suspects=suspects
    )
    if claimed and isinstance(claimed[0], Claim):
        return claimed[0]
    await postgres.unlock(connection, application_id)
    return claimed[0] if claimed else None


async def claim_leased(
    connection: Connection,
    ids: Sequence[ApplicationId],
    worker_id: WorkerId,
    *,
    alone: bool = False,
    suspects: bool = False,
    lists: int | None = None,
) -> list[Claim | Suspect]:
    """Claim what can be claimed of ``ids``, in one statement, until this worker's lease ends.

    ``alone``: the worker holds nothing else, and takes nothing else until this has ended.
    ``suspects``: they may be claimed, too; without it they are told. ``lists``: how many lists of
    what it holds the worker has made (`workers.renew`); None: none of them says anything of these.
    """
    suspect_after = None if suspects else SUSPECT_AFTER
    rows = await SQL["claims.claim"].fetch(
        connection,
        ids=ids,
        worker_id=worker_id,
        alone=alone,
        suspect_after=suspect_after,
        lists=lists,
    )
    return [_suspect(row) if row["attempt"] is None else _claim(row) for row in rows]


def _claim(row: Record) -> Claim:
    return Claim(
        application_id=row["id"],
        attempt=row["attempt"],
        candidate=row["candidate"],
        payload=row["payload"],
        waited_seconds=row["waited_seconds"],
        claimed_at=time.monotonic(),
        traceparent=row["traceparent"],
    )


def _suspect(row: Record) -> Suspect:
    return Suspect(
        row["id"],
        abandoned=row["abandoned"],
        alone=row["alone"],
        since_claim_seconds=row["since_claim_seconds"],
        worker_age_seconds=row["worker_age_seconds"],
    )


async def postpone(
    connection: Connection, application_id: ApplicationId, pipeline: PipelineName, seconds: float
) -> None:
    """Have an application put back in the line after a while, without an attempt."""
    await SQL["claims.postpone"].execute(
        connection, application_id=application_id, pipeline=pipeline, seconds=seconds
    )


class StillLockedError(ShortlistError, OSError):
    """Postgres has not noticed yet that the connection of the claim is gone: try again."""


async def reclaim(connection: Connection, claim: Claim, worker_id: WorkerId) -> bool:
    """Hold a claim again, on a new connection after the old one broke (``perJob``).

    False when another worker has claimed it, or it is finished; `StillLockedError` while that is
    not known, as the lock is not free and there is no later claim.
    """
    locked = await postgres.try_lock(connection, claim.application_id)
    owned = await owns(connection, claim, worker_id)
    if owned and not locked:
        raise StillLockedError
    if locked and not owned:
        await postgres.unlock(connection, claim.application_id)
    return owned


async def owns(connection: Connection, claim: Claim, worker_id: WorkerId) -> bool:
    """Tell whether this worker's claim is still the latest, and nothing was written yet."""
    owned = SQL["claims.owns"].fetchval(
        connection,
        application_id=claim.application_id,
        attempt=claim.attempt,
        worker_id=worker_id,
    )
    return bool(await owned)


async def complete(
    connection: Connection,
    verdicts: Sequence[Verdict],
    *,
    pipeline: PipelineName,
    worker_id: WorkerId,
) -> set[ApplicationId]:
    """Write verdicts, with their audit, in one transaction; returns whose verdict counted.

    Other workers claimed the rest meanwhile, or they are finished: nothing was written of those.
    """
    rows = await SQL["claims.complete"].fetch(
        connection,
        ids=[v.application_id for v in verdicts],
        attempts=[v.attempt for v in verdicts],
        statuses=[v.status for v in verdicts],
        scores=[v.score for v in verdicts],
        reasons=[v.reason and text.clean(v.reason) for v in verdicts],
        details=[v.detail or None for v in verdicts],
        pipeline=pipeline,
        worker_id=worker_id,
    )
    return {row["application_id"] for row in rows}


async def fail(
    connection: Connection,
    application_id: ApplicationId,
    *,
    pipeline: PipelineName,
    worker_id: WorkerId,
    reason: str,
) -> bool:
    """Write that an application that cannot be claimed has failed; False: a worker has claimed it.

    For the one whose claim Postgres refuses for its data: no attempt of it will ever begin.
    """
    attempt = await SQL["claims.latest_attempt"].fetchval(connection, application_id=application_id)
    failed = SQL["claims.fail"].fetchval(
        connection,
        application_id=application_id,
        attempt=attempt,
        pipeline=pipeline,
        reason=text.clean(reason),
        actor=f"worker:{worker_id}",
    )
    return bool(await failed)


async def ended(connection: Connection, application_id: ApplicationId, outcome: str) -> int:
    """Count attempts of an application that ended so, since it was last requeued."""
    counted = SQL["claims.ended"].fetchval(
        connection, application_id=application_id, outcome=outcome
    )
    return int(await counted)


async def others_scored(
    connection: Connection, application_id: ApplicationId, pipeline: PipelineName
) -> bool:
    """Tell if another application was scored since this one's last attempt that errored began."""
    scored = SQL["claims.others_scored"].fetchval(
        connection, application_id=application_id, pipeline=pipeline
    )
    return bool(await scored)


async def end_attempt(
    connection: Connection,
    claim: Claim,
    pipeline: PipelineName,
    worker_id: WorkerId,
    *,
    outcome: str,
    detail: str,
    retry_seconds: float | None,
) -> bool:
    """End an attempt without a result: ``errored``, ``throttled``, ``crashed`` or ``released``.

    By the same statement it is scheduled to be tried again after ``retry_seconds``; with None the
    caller puts it back in the line itself. False when the claim was not ours any more: nothing was
    written.
    """
    ended_now = SQL["claims.end_attempt"].fetchval(
        connection,
        application_id=claim.application_id,
        attempt=claim.attempt,
        worker_id=worker_id,
        outcome=outcome,
        detail=text.clean(detail)[:2000],
        pipeline=pipeline,
        retry_seconds=retry_seconds,
    )
    return bool(await ended_now)
