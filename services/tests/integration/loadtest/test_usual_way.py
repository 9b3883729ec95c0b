"""The contender keeps the contract: what it is slower at, it must at least do right."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from fastapi import HTTPException
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.schema import CreateSchema

from loadtest.bench.hiring.usual import acts
from loadtest.bench.hiring.usual.models import Applicant, Application, Base, Event, Job, make_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """One opening with one place, and four applicants."""
    engine = make_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(CreateSchema("usual"))
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session, session.begin():
        session.add(Job(title="Compiler engineer", capacity=1))
        session.add_all(Applicant(name="Ada", email=f"ada{n}@example.org") for n in range(4))
    yield engine
    await engine.dispose()


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        yield session


async def apply(engine: AsyncEngine, applicant_id: int) -> Application:
    async with transaction(engine) as session:
        return await acts.apply(session, applicant_id, 1)


async def withdraw(engine: AsyncEngine, application_id: int) -> None:
    async with transaction(engine) as session:
        await acts.withdraw(session, application_id)


async def standings(engine: AsyncEngine) -> list[tuple[str, int | None]]:
    async with transaction(engine) as session:
        rows = select(Application.status, Application.queue_position).order_by(Application.id)
        return [(status, position) for status, position in await session.execute(rows)]


async def test_the_first_gets_the_place_and_the_others_wait(engine: AsyncEngine) -> None:
    for applicant in (1, 2, 3):
        await apply(engine, applicant)
    assert await standings(engine) == [("ACTIVE", None), ("WAITLIST", 1), ("WAITLIST", 2)]


async def test_a_place_that_comes_free_promotes_the_next_and_renumbers_the_others(
    engine: AsyncEngine,
) -> None:
    first, *_ = [await apply(engine, applicant) for applicant in (1, 2, 3, 4)]
    await withdraw(engine, first.id)
    assert await standings(engine) == [
        ("INACTIVE", None), ("PENDING_ACKNOWLEDGMENT", None), ("WAITLIST", 1), ("WAITLIST", 2),
    ]  # fmt: skip
    async with transaction(engine) as session:
        promoted = await session.scalar(select(Event).where(Event.event_type == "PROMOTED"))
    assert promoted is not None


async def test_those_behind_one_who_leaves_the_line_move_up(engine: AsyncEngine) -> None:
    _, second, *_ = [await apply(engine, applicant) for applicant in (1, 2, 3, 4)]
    await withdraw(engine, second.id)
    assert [position for _, position in await standings(engine)] == [None, None, 1, 2]


async def test_a_second_application_is_refused(engine: AsyncEngine) -> None:
    await apply(engine, 1)
    with pytest.raises(HTTPException) as refused:
        await apply(engine, 1)
    assert refused.value.status_code == 409
