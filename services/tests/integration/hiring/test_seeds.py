"""``shortlist seed``: what it makes could have happened, and a second time it makes nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shortlist.hiring.seed.large import Made, Size, seed_large
from shortlist.hiring.seed.samples import PEOPLE, SAMPLES
from shortlist.hiring.seed.seeding import seed_samples
from shortlist.urls import DatabaseUrl
from testkit.hiring import postgres
from testkit.processes.commands import shortlist

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection

SMALL = Size(applicants=300, openings=8)


async def counts(db: Connection) -> tuple[int, ...]:
    tables = ("openings", "applicants", "placements", "opening_events")
    return tuple([await db.fetchval(f"SELECT count(*) FROM {table}") for table in tables])


async def test_a_few_openings_show_each_status(db: Connection, database_url: str) -> None:
    done = shortlist("seed", DATABASE_URL=database_url)
    assert (done.returncode, done.stdout) == (0, "Made 3 openings.\n"), done.stderr
    found = await postgres.check(db)
    statuses = {p.status for one in found for p in one.placements.values()}
    assert statuses == {"ACTIVE", "WAITLIST", "PENDING_ACKNOWLEDGMENT", "INACTIVE"}
    assert (await counts(db))[:2] == (len(SAMPLES), len(PEOPLE))


async def test_a_second_time_makes_nothing(db: Connection, database_url: str) -> None:
    assert await seed_samples(DatabaseUrl(database_url)) == len(SAMPLES)
    before = await counts(db)
    done = shortlist("seed", DATABASE_URL=database_url)
    assert (done.returncode, done.stdout) == (0, "The openings are there already.\n"), done.stderr
    assert await counts(db) == before


async def test_two_at_the_same_time_make_each_opening_once(
    db: Connection, database_url: str
) -> None:
    url = DatabaseUrl(database_url)
    await asyncio.gather(*(seed_samples(url) for _ in range(3)))
    titles = [row["title"] for row in await db.fetch("SELECT title FROM openings ORDER BY id")]
    assert sorted(titles) == sorted(sample.opening.title for sample in SAMPLES)
    await postgres.check(db)
    assert (await counts(db))[2] == sum(len(sample.apply) for sample in SAMPLES)


async def test_a_year_is_one_that_could_have_happened(db: Connection) -> None:
    made = await seed_large(db, SMALL)
    assert made == Made(SMALL.openings, SMALL.applicants, (await counts(db))[3])
    found = await postgres.check(db)
    assert sum(len(one.placements) for one in found) > SMALL.applicants
    assert any(one.fences for one in found)
    ahead = await db.fetchval("SELECT count(*) FROM opening_events WHERE at > clock_timestamp()")
    assert ahead == 0
    since = await db.fetchval("SELECT clock_timestamp() - min(at) FROM opening_events")
    assert 30 < since.days <= 366
    early = await db.fetchval(
        "SELECT count(*) FROM openings o JOIN opening_events e ON e.opening_id = o.id"
        " WHERE e.sequence = 1 AND e.at <> o.created_at"
    )
    assert early == 0


async def test_a_year_is_made_once(db: Connection, database_url: str) -> None:
    await seed_large(db, SMALL)
    before = await counts(db)
    assert await seed_large(db, SMALL) is None
    done = shortlist("seed", "--large", DATABASE_URL=database_url)
    assert (done.returncode, done.stdout) == (0, "The year is there already.\n"), done.stderr
    assert await counts(db) == before
