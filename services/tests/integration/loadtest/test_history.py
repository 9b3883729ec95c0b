"""A past that was copied is one that could have happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from loadtest.bench.hiring import rows
from shortlist.domain.hiring.opening import Rules
from testkit.hiring import postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shortlist.storage.postgres import Connection


@pytest.fixture
async def plain(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_what_must_hold_holds_of_a_past_with_a_long_line(
    plain: asyncpg.Connection, db: Connection
) -> None:
    await rows.add_applicants(plain, 3000)
    made = await rows.make(plain, Rules(capacity=60), waiting=600, events=2000)
    assert len(made.waiting) == 600
    assert made.events >= 2000
    (checked,) = await postgres.check(db)
    assert [placement.id for placement in checked.line()] == list(made.waiting)
    assert checked.fences


async def test_what_must_hold_holds_of_a_scored_line(
    plain: asyncpg.Connection, db: Connection
) -> None:
    await rows.add_applicants(plain, 1000)
    made = await rows.make(plain, Rules(capacity=5, order="score"), waiting=600, scored=True)
    (checked,) = await postgres.check(db)
    assert [placement.id for placement in checked.line()] == list(made.waiting)


async def test_two_openings_have_the_same_applicants_and_placements_of_their_own(
    plain: asyncpg.Connection, db: Connection
) -> None:
    await rows.add_applicants(plain, 100)
    first, second = [await rows.make(plain, Rules(capacity=1), waiting=20) for _ in range(2)]
    assert not {*first.waiting} & {*second.waiting}
    assert await plain.fetchval("SELECT nextval('placement_ids')") > max(second.waiting)
    assert len(await postgres.check(db)) == 2
