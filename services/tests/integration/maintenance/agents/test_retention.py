from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId, NewApplication
from shortlist.maintenance import witness
from shortlist.maintenance.agents import retention
from shortlist.maintenance.agents.retention import Retention
from shortlist.storage.postgres import connect
from shortlist.storage.postgres.queries import applications, requeue

if TYPE_CHECKING:
    from integration.maintenance.conftest import MakeDesk, Shop
    from shortlist.maintenance.context import LeaderContext

DAY = 86_400.0
TABLES = ("applications", "results", "attempts", "audit_log", "retries", "idempotency_keys")


@pytest.fixture
async def old(make_desk: MakeDesk) -> LeaderContext:
    return await make_desk(retention_days=2, idempotency_hours=24)


async def count(shop: Shop, table: str) -> int:
    return int(await shop.db.fetchval(f"SELECT count(*) FROM {table}"))


async def finished_long_ago(shop: Shop, number: int, age_seconds: float) -> list[ApplicationId]:
    ids = await shop.accept(number, age_seconds=age_seconds)
    await shop.finish(*ids)
    await shop.db.execute(
        "UPDATE results SET finished_at = now() - make_interval(secs => $2) "
        "WHERE application_id = ANY($1)",
        ids,
        age_seconds,
    )
    return ids


async def test_what_was_finished_long_ago_goes_with_all_that_belongs_to_it(
    shop: Shop, old: LeaderContext
) -> None:
    await finished_long_ago(shop, 3, 3 * DAY)
    recent = await finished_long_ago(shop, 2, 1 * DAY)
    unfinished = await shop.accept(1, age_seconds=5 * DAY)
    just_finished = await shop.accept(1, age_seconds=5 * DAY)
    await shop.finish(*just_finished)
    await Retention(old).turn()
    kept = {r["id"] for r in await shop.db.fetch("SELECT id FROM applications")}
    assert kept == {*recent, *unfinished, *just_finished}
    for table in ("results", "attempts", "audit_log"):
        rows = await shop.db.fetch(f"SELECT DISTINCT application_id FROM {table}")
        assert {row["application_id"] for row in rows} == {*recent, *just_finished}
    assert await count(shop, "archived_applications") == 0


async def test_an_archive_keeps_it_as_one_document(shop: Shop, make_desk: MakeDesk) -> None:
    desk = await make_desk(retention_days=2, retention_action="archive")
    (one,) = await finished_long_ago(shop, 1, 3 * DAY)
    await Retention(desk).turn()
    row = await shop.db.fetchrow("SELECT * FROM archived_applications")
    assert row is not None
    record = row["record"]
    assert row["id"] == one
    assert record["application"]["payload"] == "payload"
    assert record["result"]["score"] == 50
    assert [a["attempt"] for a in record["attempts"]] == [1]
    assert [a["event"] for a in record["audit"]] == ["scored"]
    assert [await count(shop, table) for table in TABLES] == [0] * len(TABLES)


async def test_it_goes_on_batch_after_batch_oldest_first_and_then_rests(
    shop: Shop, old: LeaderContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 10)
    ids = await finished_long_ago(shop, 25, 3 * DAY)
    agent = Retention(old)
    for left in (15, 5, 0):
        rest_seconds = await agent.turn()
        assert await count(shop, "applications") == left
        assert (rest_seconds == retention.PERIOD_SECONDS) == (left == 0)
        remaining = await shop.db.fetch("SELECT id FROM applications ORDER BY id")
        assert [row["id"] for row in remaining] == ids[25 - left :]


async def test_expired_idempotency_keys_go_and_younger_ones_stay(
    shop: Shop, old: LeaderContext
) -> None:
    group = [
        NewApplication(i, DEFAULT_PIPELINE, None, "p", idempotency_key=str(n), body_hash=b"")
        for n, i in enumerate(await shop.accept(3, age_seconds=25 * 3600))
    ]
    await shop.db.execute("DELETE FROM applications")
    await applications.accept(shop.db, group)
    tables = ("idempotency_keys", "scoped_idempotency_keys")
    for table in tables:
        await shop.db.execute(
            f"UPDATE {table} SET created_at = now() - interval '25 h' WHERE key <> '2'"
        )
    agent = Retention(old)
    await agent.turn()
    await agent.turn()
    for table in tables:
        assert [r["key"] for r in await shop.db.fetch(f"SELECT key FROM {table}")] == ["2"]


async def test_nothing_goes_before_its_idempotency_key_has_expired(
    shop: Shop, make_desk: MakeDesk
) -> None:
    desk = await make_desk(retention_days=0.01, idempotency_hours=48)
    await finished_long_ago(shop, 1, 1 * DAY)
    await Retention(desk).turn()
    assert await count(shop, "applications") == 1


async def test_zero_days_keep_everything(shop: Shop, make_desk: MakeDesk) -> None:
    desk = await make_desk(retention_days=0)
    await finished_long_ago(shop, 1, 1000 * DAY)
    await Retention(desk).turn()
    assert await count(shop, "applications") == 1


async def test_what_is_requeued_at_that_moment_is_not_removed(
    shop: Shop, old: LeaderContext
) -> None:
    (one,) = await shop.accept(1, age_seconds=5 * DAY)
    await shop.fail(one)
    await shop.db.execute("UPDATE results SET finished_at = now() - interval '4 d'")
    person = await connect(shop.database_url, application_name="person")
    async with person.transaction():
        assert await requeue.requeue(person, [one], "person") == {one}
        removing = asyncio.create_task(Retention(old).turn())
        await asyncio.sleep(0.3)  # it waits for the person
        assert not removing.done()
    await removing
    await person.close()
    assert await count(shop, "applications") == 1
    assert await count(shop, "retries") == 1


async def test_a_clock_that_jumps_ahead_deletes_nothing_early(
    shop: Shop, old: LeaderContext
) -> None:
    """As if Postgres's clock had gone on by a hundred days, seen from what was stored before."""
    await shop.finish(*await shop.accept(3))
    agent = Retention(old)
    await agent.turn()
    await jump(shop, 100 * DAY)
    assert await agent.turn() == retention.PERIOD_SECONDS
    await Retention(old).turn()  # another leader takes no more than a day on trust
    assert await count(shop, "applications") == 3


async def test_off_switch_of_the_witnessed_time(
    shop: Shop, old: LeaderContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness, "_DRIFT", 1e12)
    monkeypatch.setattr(witness, "_TAKEN_ON_TRUST_SECONDS", 1e9)
    with pytest.raises(AssertionError):
        await test_a_clock_that_jumps_ahead_deletes_nothing_early(shop, old)


async def test_what_a_clock_called_old_is_kept_while_its_id_is_young(
    shop: Shop, old: LeaderContext
) -> None:
    """Postgres's clock was a hundred days behind when it was finished; it is right again."""
    ids = await shop.accept(2)
    await shop.finish(*ids)
    await shop.db.execute("UPDATE results SET finished_at = now() - interval '100 days'")
    await Retention(old).turn()
    assert await count(shop, "applications") == 2


async def test_what_has_an_old_id_is_kept_while_it_was_just_finished(
    shop: Shop, old: LeaderContext
) -> None:
    """A host whose clock was a hundred days behind made the id."""
    await shop.finish(*await shop.accept(2, age_seconds=100 * DAY))
    await Retention(old).turn()
    assert await count(shop, "applications") == 2


async def jump(shop: Shop, seconds: float) -> None:
    """Make all that is stored older, as it looks from a clock that jumped ahead."""
    for table, column in (
        ("applications", "accepted_at"),
        ("results", "finished_at"),
        ("witnessed_time", "at"),
    ):
        await shop.db.execute(
            f"UPDATE {table} SET {column} = {column} - $1::interval", dt.timedelta(seconds=seconds)
        )
    for table, column in (("results", "application_id"), ("applications", "id")):
        rows = await shop.db.fetch(f"SELECT {column} AS id FROM {table}")
        for row in rows:
            older = UUID(int=row["id"].int - (int(seconds * 1000) << 80))
            await shop.db.execute(
                f"UPDATE {table} SET {column} = $2 WHERE {column} = $1", row["id"], older
            )
