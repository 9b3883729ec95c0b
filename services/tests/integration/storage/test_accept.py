from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from shortlist.domain.application import DEFAULT_PIPELINE, ApplicationId, NewApplication
from shortlist.storage import applications, postgres
from shortlist.storage.applications import Accepted, KeyReused, Repeated

if TYPE_CHECKING:
    from uuid import UUID

    from shortlist.storage.postgres import Connection

YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)


def new(key: str | None = None, body: bytes = b"hash") -> NewApplication:
    application_id = ApplicationId(uuid7())
    body_hash = None if key is None else body
    return NewApplication(
        application_id, DEFAULT_PIPELINE, "Ada", "p", idempotency_key=key, body_hash=body_hash
    )


async def count(db: Connection) -> int:
    return int(await db.fetchval("SELECT count(*) FROM applications"))


@pytest.mark.parametrize("keys", [[None, None], [None, "k"], ["k", "l"]])
async def test_a_group_that_comes_too_late_inserts_nothing(
    db: Connection, keys: list[str | None]
) -> None:
    with pytest.raises(applications.LateError):
        await applications.accept(db, [new(key) for key in keys], before=YESTERDAY)
    assert await count(db) == 0
    assert await db.fetchval("SELECT count(*) FROM idempotency_keys") == 0


@pytest.mark.parametrize("keys", [[None, None], [None, "k"], ["k", "l"]])
async def test_a_group_that_is_sent_again_is_inserted_once(
    db: Connection, keys: list[str | None]
) -> None:
    group = [new(key) for key in keys]
    first = await applications.accept(db, group)
    assert await applications.accept(db, group) == first == [Accepted(a.id) for a in group]
    assert await count(db) == len(group)


async def test_a_key_that_was_used_before_is_told_by_its_body(db: Connection) -> None:
    first = new("k")
    await applications.accept(db, [first])
    outcomes = await applications.accept(db, [new("k"), new("k", b"other"), mine := new()])
    assert outcomes == [Repeated(first.id), KeyReused(), Accepted(mine.id)]
    assert await count(db) == 2


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("kl-"), st.sampled_from("xy")), min_size=1), max_size=4
    )
)
async def test_a_key_never_stands_for_two_bodies_or_two_applications(
    db: Connection, groups: list[list[tuple[str, str]]]
) -> None:
    await db.execute("TRUNCATE applications, idempotency_keys")
    owners: dict[str, tuple[UUID, bytes]] = {}
    rows = 0
    for group in groups:
        batch = [new(None if key == "-" else key, body.encode()) for key, body in group]
        outcomes = await applications.accept(db, batch)
        for a, outcome in zip(batch, outcomes, strict=True):
            if a.idempotency_key is None:
                assert outcome == Accepted(a.id)
                rows += 1
                continue
            assert a.body_hash is not None
            owner, body = owners.setdefault(a.idempotency_key, (a.id, a.body_hash))
            if owner == a.id:
                rows += 1
                assert outcome == Accepted(a.id)
            else:
                assert outcome == (
                    Repeated(ApplicationId(owner)) if body == a.body_hash else KeyReused()
                )
    assert await count(db) == rows


async def test_the_servers_clock_is_never_taken_for_later_than_it_is(db: Connection) -> None:
    clock = await postgres.ServerClock.read(db)
    believed = clock.at(time.monotonic())
    assert believed <= await db.fetchval("SELECT clock_timestamp()")


async def test_the_unfinished_are_counted_up_to_a_limit(db: Connection) -> None:
    group = [new() for _ in range(5)]
    await applications.accept(db, group)

    async def unfinished(before: UUID, limit: int) -> int:
        return await applications.unfinished_count(db, DEFAULT_PIPELINE, before=before, limit=limit)

    assert await unfinished(uuid7(), 10) == 5
    assert await unfinished(uuid7(), 3) == 3
    assert await unfinished(group[3].id, 10) == 3
    await db.execute("UPDATE pipelines SET swept_to = $1", group[1].id)
    assert await unfinished(uuid7(), 10) == 3
