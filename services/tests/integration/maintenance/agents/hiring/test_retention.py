from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shortlist.maintenance.agents.hiring import retention
from shortlist.maintenance.agents.hiring.retention import Retention
from testkit.faults.unguarding import without
from testkit.waiting import until

if TYPE_CHECKING:
    from integration.maintenance.conftest import MakeDesk
    from shortlist.storage.postgres import Connection

    from .conftest import Office

ANSWERED = """
INSERT INTO hiring_answers (key, route, body_hash, answer, created_at)
SELECT 'key ' || n, 'POST /apply', '', '{}', now() - $2::float8 * interval '1 h'
FROM generate_series(1, $1) n
"""


async def answers(db: Connection) -> int:
    return int(await db.fetchval("SELECT count(*) FROM hiring_answers"))


async def older(db: Connection, days: float) -> None:
    """All that was stored, as it looks from a clock that has gone on by so many days."""
    for table, column in (
        ("applicants", "created_at"),
        ("placements", "since"),
        ("hiring_answers", "created_at"),
        ("witnessed_time", "at"),
    ):
        await db.execute(f"UPDATE {table} SET {column} = {column} - $1 * interval '1 day'", days)


async def test_answers_to_calls_with_a_key_go_batch_after_batch(
    db: Connection, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 10)
    await db.execute(ANSWERED, 25, 25.0)
    await db.execute(ANSWERED.replace("'key '", "'young '"), 3, 23.0)
    agent = Retention(await make_desk(idempotency_hours=24))
    for left in (18, 8, 3, 3):
        rest_seconds = await agent.turn()
        assert await answers(db) == left
    assert rest_seconds == retention.PERIOD_SECONDS


async def test_applicants_with_nothing_live_and_nothing_new_are_erased(
    db: Connection, office: Office, make_desk: MakeDesk
) -> None:
    await office.opening(offers=1, waiting=2, ack_window_seconds=9999)
    await db.execute("UPDATE placements SET status = 'i', deadline = NULL WHERE applicant_id <= 2")
    await db.execute(
        "INSERT INTO applicants (id, name, email, email_key) OVERRIDING SYSTEM VALUE"
        " VALUES (9, 'Ada', 'a@b', 'a@b')"
    )
    await older(db, 100)
    await db.execute("UPDATE placements SET since = now() WHERE applicant_id = 2")  # just removed
    await Retention(await make_desk(hiring_retention_days=90)).turn()
    kept = await db.fetch("SELECT id FROM applicants WHERE erased_at IS NULL ORDER BY id")
    assert [row["id"] for row in kept] == [2, 3]
    erased = await db.fetch("SELECT name, email FROM applicants WHERE erased_at IS NOT NULL")
    assert [tuple(row) for row in erased] == [(None, None)] * 2
    assert await db.fetchval("SELECT count(*) FROM opening_events") > 3


async def test_no_applicant_is_erased_unless_a_time_is_set(
    db: Connection, make_desk: MakeDesk
) -> None:
    await db.execute("INSERT INTO applicants (name, email, email_key) VALUES ('Ada', 'a@b', 'a@b')")
    await older(db, 10_000)
    await Retention(await make_desk()).turn()
    assert await db.fetchval("SELECT count(*) FROM applicants WHERE erased_at IS NULL") == 1


async def test_all_applicants_are_gone_over_slice_by_slice(
    db: Connection, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    await db.execute(
        "INSERT INTO applicants (name, email, email_key)"
        " SELECT 'Ada', n || '@b', n || '@b' FROM generate_series(1, 5) n"
    )
    await older(db, 100)
    agent = Retention(await make_desk(hiring_retention_days=90))
    while await agent.turn() != retention.PERIOD_SECONDS:
        pass
    assert await db.fetchval("SELECT count(*) FROM applicants WHERE erased_at IS NULL") == 0


async def a_clock_that_jumps_ahead_erases_no_applicant(db: Connection, make_desk: MakeDesk) -> None:
    """As if Postgres's clock had gone on by a hundred days, seen from what was stored before."""
    await db.execute("INSERT INTO applicants (name, email, email_key) VALUES ('Ada', 'a@b', 'a@b')")
    await db.execute(ANSWERED, 1, 0.0)
    desk = await make_desk(hiring_retention_days=90)
    agent = Retention(desk)
    await agent.turn()
    await older(db, 100)
    agent._next_pass = 0.0
    await agent.turn()
    await Retention(desk).turn()  # another leader takes no more than a day on trust
    assert await db.fetchval("SELECT count(*) FROM applicants WHERE erased_at IS NULL") == 1
    assert await answers(db) == 1


async def test_a_clock_that_jumps_ahead_erases_no_applicant(
    db: Connection, make_desk: MakeDesk
) -> None:
    await a_clock_that_jumps_ahead_erases_no_applicant(db, make_desk)


async def test_off_switch_a_clock_that_jumps_ahead_erases_applicants(
    db: Connection, make_desk: MakeDesk
) -> None:
    with without("witnessed_time"), pytest.raises(AssertionError):
        await a_clock_that_jumps_ahead_erases_no_applicant(db, make_desk)


async def who_has_just_applied_is_not_erased(
    db: Connection, office: Office, make_desk: MakeDesk, other: Connection
) -> None:
    """They apply between the look that found them and their erasure."""
    await office.opening(offers=1, waiting=0, ack_window_seconds=9999)
    await db.execute("UPDATE placements SET status = 'i', deadline = NULL")
    await older(db, 100)
    agent = Retention(await make_desk(hiring_retention_days=90))
    async with other.transaction():
        await other.execute("SELECT FROM applicants FOR KEY SHARE")
        await other.execute("UPDATE placements SET status = 'w'")
        turn = asyncio.create_task(agent.turn())

        async def waits() -> bool:
            return bool(await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await until(waits, within_seconds=30, what="the leader waits for the applicant")
    await turn
    assert await db.fetchval("SELECT count(*) FROM applicants WHERE erased_at IS NULL") == 1
    assert await db.fetchval("SELECT status FROM placements") == b"w"


async def test_who_has_just_applied_is_not_erased(
    db: Connection, office: Office, make_desk: MakeDesk, other: Connection
) -> None:
    await who_has_just_applied_is_not_erased(db, office, make_desk, other)


async def test_off_switch_who_has_just_applied_is_erased(
    db: Connection, office: Office, make_desk: MakeDesk, other: Connection
) -> None:
    with without("erased_only_when_done"), pytest.raises(AssertionError):
        await who_has_just_applied_is_not_erased(db, office, make_desk, other)
