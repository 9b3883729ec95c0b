from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from shortlist.domain.line.application import (
    DEFAULT_PIPELINE,
    ApplicationId,
    NewApplication,
    PipelineName,
)
from shortlist.storage import postgres
from shortlist.storage.postgres.queries import applications
from shortlist.storage.postgres.queries.applications import Accepted, KeyReused, Repeated
from testkit.waiting import until

if TYPE_CHECKING:
    from uuid import UUID

    from shortlist.storage.postgres import Connection

YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)


SCOPES = {"a": (DEFAULT_PIPELINE, "Ada"), "j": (DEFAULT_PIPELINE, None),
          "s": (PipelineName("sales"), "Ada")}  # fmt: skip
"""Pipelines and candidates; a job has none."""


def new(key: str | None = None, body: bytes = b"hash", scope: str = "a") -> NewApplication:
    application_id = ApplicationId(uuid7())
    body_hash = None if key is None else body
    pipeline, candidate = SCOPES[scope]
    return NewApplication(
        application_id, pipeline, candidate, "p", idempotency_key=key, body_hash=body_hash
    )


async def count(db: Connection) -> int:
    return int(await db.fetchval("SELECT count(*) FROM applications"))


@pytest.mark.parametrize("keys", [[None, None], [None, "k"], ["k", "l"]])
async def test_a_group_that_comes_too_late_inserts_nothing(
    db: Connection, keys: list[str | None]
) -> None:
    with pytest.raises(applications.DeadlineExceededError):
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
    assert await applications.accept(db, group, before=YESTERDAY) == first
    assert await count(db) == len(group)


async def test_a_key_that_was_used_before_is_told_by_its_body(db: Connection) -> None:
    first = new("k")
    await applications.accept(db, [first])
    outcomes = await applications.accept(db, [new("k"), new("k", b"other"), mine := new()])
    assert outcomes == [Repeated(first.id), KeyReused(), Accepted(mine.id)]
    assert await count(db) == 2


BEFORE_0003 = """
WITH first AS (
    INSERT INTO idempotency_keys (key, application_id, body_hash)
    SELECT * FROM unnest($1::text[], $2::uuid[], $3::bytea[]) ON CONFLICT (key) DO NOTHING
    RETURNING application_id
)
INSERT INTO applications (id, pipeline, candidate, payload)
SELECT * FROM unnest($2::uuid[], $4::text[], $5::text[], $6::text[]) AS i (id, p, c, t)
WHERE id IN (SELECT application_id FROM first) RETURNING id
"""
"""How a process of the release before inserts what has keys."""


async def accept_as_before(db: Connection, application: NewApplication) -> bool:
    a = application
    columns = (a.idempotency_key, a.id, a.body_hash, a.pipeline, a.candidate, a.payload)
    return bool(await db.fetch(BEFORE_0003, *[[column] for column in columns]))


async def test_a_key_of_the_release_before_still_matches(db: Connection) -> None:
    first = new("k")
    assert await accept_as_before(db, first)
    assert await applications.accept(db, [new("k")]) == [Repeated(first.id)]
    assert await applications.accept(db, [new("k", b"other")]) == [KeyReused()]
    job = new("k", scope="j")
    assert await applications.accept(db, [job]) == [Accepted(job.id)]
    assert await count(db) == 2


async def test_a_process_of_the_release_before_sees_our_keys(db: Connection) -> None:
    await applications.accept(db, [new("k"), new("k", scope="s"), new("l", scope="j")])
    assert not await accept_as_before(db, new("k"))
    assert not await accept_as_before(db, new("l", scope="j"))
    assert await count(db) == 3


async def test_a_key_is_free_on_another_route_and_in_another_pipeline(db: Connection) -> None:
    """Whether they come in one group or one after another."""
    group = [new("k", scope=scope) for scope in SCOPES]
    assert await applications.accept(db, group) == [Accepted(a.id) for a in group]
    for scope in SCOPES:
        one = new("l", scope=scope)
        assert await applications.accept(db, [one]) == [Accepted(one.id)]
    again = [new("k", scope=scope) for scope in SCOPES]
    assert await applications.accept(db, again) == [Repeated(a.id) for a in group]


@pytest.mark.parametrize("scopes", ["aa", "aj", "as", "js"])
async def test_a_key_that_two_processes_use_at_once_stands_for_one_application_each(
    database_url: str, db: Connection, scopes: str
) -> None:
    """Each of both waits for the other's transaction, and then sees what it did."""
    one, two = (new("k", scope=scope) for scope in scopes)
    other = await postgres.connect(database_url, application_name="test")
    async with db.transaction():
        assert await applications.accept(db, [one]) == [Accepted(one.id)]
        second = asyncio.create_task(applications.accept(other, [two]))

        async def it_waits() -> bool:
            return bool(await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await until(it_waits, what="the second waits for the first")
    expected = Repeated(one.id) if scopes == "aa" else Accepted(two.id)
    assert await second == [expected]
    assert await count(db) == len(set(scopes))
    await other.close()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from("kl-"), st.sampled_from("xy"), st.sampled_from("ajs")),
            min_size=1,
        ),
        max_size=4,
    )
)
async def test_a_key_never_stands_for_two_bodies_or_two_applications(
    db: Connection, groups: list[list[tuple[str, str, str]]]
) -> None:
    await db.execute("TRUNCATE applications, idempotency_keys, scoped_idempotency_keys")
    owners: dict[tuple[str, str], tuple[UUID, bytes]] = {}
    rows = 0
    for group in groups:
        batch = [new(None if k == "-" else k, body.encode(), scope) for k, body, scope in group]
        outcomes = await applications.accept(db, batch)
        for (_, _, scope), a, outcome in zip(group, batch, outcomes, strict=True):
            if a.idempotency_key is None:
                assert outcome == Accepted(a.id)
                rows += 1
                continue
            assert a.body_hash is not None
            owner, body = owners.setdefault((a.idempotency_key, scope), (a.id, a.body_hash))
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
