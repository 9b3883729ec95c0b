"""What happens, in the usual way: lock the opening, count, write. The caller's transaction."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from fastapi import HTTPException
from sqlalchemy import func, select, update

from loadtest.bench.hiring.usual.models import Applicant, Application, Event, Job, Status

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

_HELD = (Status.ACTIVE, Status.PENDING)
_GONE = "no such thing"


async def apply(session: AsyncSession, applicant_id: int, job_id: int) -> Application:
    """Give a free place when no one waits, else a place at the end of the line."""
    if await session.get(Applicant, applicant_id) is None:
        raise HTTPException(404, _GONE)
    job = await _lock(session, job_id)
    if await _live(session, applicant_id, job_id):
        raise HTTPException(409, "already applied")
    last = await _last_position(session, job_id)
    is_direct = last is None and await _held(session, job_id) < job.capacity
    application = Application(
        applicant_id=applicant_id,
        job_id=job_id,
        status=Status.ACTIVE if is_direct else Status.WAITLIST,
        queue_position=None if is_direct else (last or 0) + 1,
    )
    session.add(application)
    await session.flush()
    _record(session, application, "APPLIED", None)
    return application


async def withdraw(session: AsyncSession, application_id: int) -> Application:
    """End an application; whose place comes free, promotes the first in line."""
    job_id = await session.scalar(
        select(Application.job_id).where(Application.id == application_id)
    )
    if job_id is None:
        raise HTTPException(404, _GONE)
    job = await _lock(session, job_id)
    application = await session.get_one(Application, application_id)
    before, position = application.status, application.queue_position
    if before == Status.INACTIVE:
        raise HTTPException(409, "already inactive")
    application.status = Status.INACTIVE
    application.queue_position = application.promoted_at = application.acknowledge_deadline = None
    _record(session, application, "WITHDRAWN", before)
    await session.flush()
    if position is None:
        await _fill(session, job)
    else:
        await _renumber(session, job_id, behind=position)
    return application


async def _fill(session: AsyncSession, job: Job) -> None:
    """Offer free places to the first in line, and renumber the others."""
    while await _held(session, job.id) < job.capacity:
        first = await session.scalar(
            select(Application)
            .where(Application.job_id == job.id, Application.status == Status.WAITLIST)
            .order_by(Application.queue_position)
            .limit(1)
        )
        if first is None:
            return
        first.status, first.queue_position = Status.PENDING, None
        first.promoted_at = dt.datetime.now(dt.UTC)
        window = dt.timedelta(seconds=job.ack_window_seconds)
        first.acknowledge_deadline = first.promoted_at + window
        _record(session, first, "PROMOTED", Status.WAITLIST)
        await session.flush()
        await _renumber(session, job.id, behind=1)


async def _renumber(session: AsyncSession, job_id: int, *, behind: int) -> None:
    """Let everyone behind a position move up by one."""
    await session.execute(
        update(Application)
        .where(
            Application.job_id == job_id,
            Application.status == Status.WAITLIST,
            Application.queue_position > behind,
        )
        .values(queue_position=Application.queue_position - 1)
        .execution_options(synchronize_session=False)
    )


async def _lock(session: AsyncSession, job_id: int) -> Job:
    job = await session.get(Job, job_id, with_for_update=True)
    if job is None:
        raise HTTPException(404, _GONE)
    return job


async def _live(session: AsyncSession, applicant_id: int, job_id: int) -> int | None:
    return await session.scalar(
        select(Application.id).where(
            Application.applicant_id == applicant_id,
            Application.job_id == job_id,
            Application.status != Status.INACTIVE,
        )
    )


async def _held(session: AsyncSession, job_id: int) -> int:
    counted = select(func.count()).select_from(Application)
    held = counted.where(Application.job_id == job_id, Application.status.in_(_HELD))
    return await session.scalar(held) or 0


async def _last_position(session: AsyncSession, job_id: int) -> int | None:
    return await session.scalar(
        select(func.max(Application.queue_position)).where(
            Application.job_id == job_id, Application.status == Status.WAITLIST
        )
    )


def _record(
    session: AsyncSession, application: Application, event_type: str, before: str | None
) -> None:
    session.add(
        Event(
            application_id=application.id,
            event_type=event_type,
            from_status=before,
            to_status=application.status,
            details={"jobId": application.job_id, "applicantId": application.applicant_id},
        )
    )
