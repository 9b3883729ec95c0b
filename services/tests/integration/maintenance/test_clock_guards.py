"""Each guard against clocks that are set, on real servers: what holds with it fails without it.

A clock that was ahead, and is right again, is what it left behind: ends that are too late. So a
test writes those; `acceptance/test_clocks_step.py` sets the clocks themselves.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from shortlist.domain.line.application import (
    DEFAULT_PIPELINE,
    MOST_AHEAD_MILLISECONDS,
    ApplicationId,
    NewApplication,
    lowest_id_at,
)
from shortlist.http.budget import Budget
from shortlist.ingest.group_commit import GroupCommit
from shortlist.maintenance.agents.dead_workers import DeadWorkers
from shortlist.maintenance.agents.retention import Retention
from shortlist.maintenance.agents.retries import Retries
from shortlist.maintenance.agents.sweep import Sweep, Sweeps
from shortlist.storage.postgres.database import Database
from shortlist.storage.postgres.queries import applications, leases, recovery, workers
from shortlist.storage.postgres.queries.applications import Accepted
from shortlist.storage.postgres.queries.leases import NotLeadingError
from shortlist.storage.redis import keys, model_limits, refusal
from shortlist.storage.redis.model_limits import RateLimits
from shortlist.storage.redis.refusal import Refusal
from testkit.faults.unguarding import without
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .conftest import FakeWorker, MakeDesk, Shop

HUNDRED_DAYS_MILLISECONDS = 100 * 86_400_000
AHEAD = "interval '1 h'"
LONG_AGO = "interval '100 days'"


@dataclass(frozen=True)
class Scene:
    """What a check works with."""

    shop: Shop
    make_desk: MakeDesk


# --- leases


async def as_it_was(_: Sweep) -> None:
    """Redis has lost nothing."""


async def an_endless_lease_is_none(scene: Scene) -> None:
    db = scene.shop.db
    assert await leases.take(db, "some", uuid4(), 3) is not None
    await db.execute(f"UPDATE leases SET expires_at = expires_at + {AHEAD} WHERE name = 'some'")
    assert await leases.take(db, "some", uuid4(), 3) is not None


async def who_has_an_endless_lease_leads_no_more(scene: Scene) -> None:
    db = scene.shop.db
    lease = await leases.take(db, "some", uuid4(), 3)
    assert lease is not None
    await db.execute(f"UPDATE leases SET expires_at = expires_at + {AHEAD} WHERE name = 'some'")
    led = False
    try:
        async with leases.leading(db, lease):
            led = True
    except NotLeadingError:
        pass
    assert not led


async def what_was_given_up_is_free_on_a_clock_set_back_by_less_than_a_lease(scene: Scene) -> None:
    db = scene.shop.db
    lease = await leases.take(db, "some", uuid4(), 3)
    assert lease is not None
    await leases.give_up(db, lease)
    await db.execute("UPDATE leases SET expires_at = expires_at + interval '2 s'")
    assert await leases.take(db, "some", uuid4(), 3) is not None


# --- claims of a perWrite worker that is dead, and whose lease a clock made endless


async def a_dead_one(scene: Scene) -> tuple[FakeWorker, ApplicationId]:
    worker = await scene.shop.worker("perWrite")
    (one,) = await scene.shop.accept(1)
    assert len(await worker.claim(one)) == 1
    await worker.die()
    await scene.shop.db.execute(f"UPDATE workers SET lease_expires_at = now() + {AHEAD}")
    return worker, one


async def its_claim_is_free(scene: Scene) -> None:
    _, one = await a_dead_one(scene)
    assert len(await (await scene.shop.worker("perWrite")).claim(one)) == 1


async def its_claim_is_not_held(scene: Scene) -> None:
    _, one = await a_dead_one(scene)
    (seen,) = await recovery.observe(scene.shop.db, DEFAULT_PIPELINE, [one])
    assert not seen.held


async def it_is_dead(scene: Scene) -> None:
    worker, _ = await a_dead_one(scene)
    assert worker.id in await workers.dead(scene.shop.db)


async def it_is_forgotten(scene: Scene) -> None:
    worker, _ = await a_dead_one(scene)
    await workers.forget(scene.shop.db, [worker.id])
    assert not await workers.registered(scene.shop.db, DEFAULT_PIPELINE)


async def a_step_ends_no_lease(scene: Scene) -> None:
    """Postgres's clock goes an hour ahead: all leases have ended, until they are renewed."""
    desk = await scene.make_desk()
    agent = DeadWorkers(desk, Sweeps(desk), lambda: float("inf"))
    worker = await scene.shop.worker("perWrite")
    await agent.turn()
    assert agent._clock is not None
    an_hour = dt.timedelta(hours=1)
    agent._clock = replace(agent._clock, server=agent._clock.server - an_hour)
    await scene.shop.db.execute(f"UPDATE workers SET lease_expires_at = now() - {AHEAD}")
    await agent.turn()
    await asyncio.sleep(0.2)  # longer than it takes to be sure of a death without a step
    await agent.turn()
    assert worker.id in await workers.registered(scene.shop.db, DEFAULT_PIPELINE)


# --- retries, deadlines, ids


async def a_retry_that_is_due_in_an_hour_is_due_now(scene: Scene) -> None:
    desk = await scene.make_desk()
    sweeps = Sweeps(desk)
    await sweeps.learn_pipelines()
    ids = await scene.shop.accept(1)
    await scene.shop.schedule(3600, *ids)
    await Retries(desk, sweeps).turn()
    assert await scene.shop.in_again() == ids


async def an_accept_is_not_late_by_a_clock_that_was_set(scene: Scene) -> None:
    """Postgres's clock was an hour behind when ingest read it, and is right now."""
    database = Database(scene.shop.database_url, name="accept", connections=1, timeout_seconds=1.5)
    accepter = GroupCommit(
        database, Budget(1 << 20), flushers=1, timeout_seconds=1.5, backlog=9,
        on_accepted=lambda _: None,
    )  # fmt: skip
    try:
        assert await accepted(accepter)
        assert database.clock is not None
        an_hour = dt.timedelta(hours=1)
        object.__setattr__(database.clock, "server", database.clock.server - an_hour)
        assert await accepted(accepter)
    finally:
        await accepter.finish()
        await database.close()


async def accepted(accepter: GroupCommit) -> bool:
    one = NewApplication(ApplicationId(uuid4()), DEFAULT_PIPELINE, "Ada", "p")
    try:
        return await accepter.accept(one) == Accepted(one.id)
    except Exception as error:
        raise AssertionError("refused") from error


async def what_is_below_the_mark_is_found(scene: Scene) -> None:
    """A leader whose Postgres was a hundred days ahead has swept all that may come."""
    (one,) = await scene.shop.accept(1)
    far = lowest_id_at(int(time.time() * 1000) + HUNDRED_DAYS_MILLISECONDS)
    await scene.shop.db.execute("UPDATE pipelines SET swept_to = $1", far)
    await is_found(scene, one)


async def what_is_beyond_any_clock_is_found(scene: Scene) -> None:
    (one,) = await scene.shop.accept(1)
    far = ApplicationId(
        lowest_id_at(int(time.time() * 1000) + MOST_AHEAD_MILLISECONDS + HUNDRED_DAYS_MILLISECONDS)
    )
    await scene.shop.db.execute("UPDATE applications SET id = $2 WHERE id = $1", one, far)
    await is_found(scene, far)


async def is_found(scene: Scene, one: ApplicationId) -> None:
    """The patrol finds it, and the sweep puts it back once it is old enough to be lost."""
    sweeps = Sweeps(await scene.make_desk())
    await sweeps.learn_pipelines()

    async def look() -> bool:
        await sweeps.turn(as_it_was)
        return one in [*await scene.shop.in_again(), *await scene.shop.in_line()]

    await until(look, within_seconds=8, what="it is put back")


# --- what is deleted


async def a_clock_that_jumps_ahead_deletes_nothing(scene: Scene) -> None:
    """All that is stored grows older by a hundred days between two turns."""
    agent = Retention(await scene.make_desk(retention_days=2, idempotency_hours=24))
    ids = await scene.shop.accept(2, age_seconds=100 * 86_400.0)
    await agent.turn()
    await scene.shop.finish(*ids)
    for table, column in (("results", "finished_at"), ("witnessed_time", "at")):
        await scene.shop.db.execute(f"UPDATE {table} SET {column} = {column} - {LONG_AGO}")
    await agent.turn()
    assert await scene.shop.db.fetchval("SELECT count(*) FROM applications") == len(ids)


async def what_a_clock_called_old_stays_while_its_id_is_young(scene: Scene) -> None:
    ids = await scene.shop.accept(2)
    await scene.shop.finish(*ids)
    await scene.shop.db.execute(f"UPDATE results SET finished_at = now() - {LONG_AGO}")
    await Retention(await scene.make_desk(retention_days=2)).turn()
    assert await scene.shop.db.fetchval("SELECT count(*) FROM applications") == len(ids)


async def a_key_stays_while_its_application_is_young(scene: Scene) -> None:
    (one,) = await scene.shop.accept(1)
    await scene.shop.db.execute("DELETE FROM applications")
    keyed = NewApplication(one, DEFAULT_PIPELINE, None, "p", idempotency_key="k", body_hash=b"")
    await applications.accept(scene.shop.db, [keyed])
    tables = ("idempotency_keys", "scoped_idempotency_keys")
    for table in tables:
        await scene.shop.db.execute(f"UPDATE {table} SET created_at = now() - {LONG_AGO}")
    agent = Retention(await scene.make_desk(idempotency_hours=24))
    await agent.turn()
    await agent.turn()
    for table in tables:
        assert await scene.shop.db.fetchval(f"SELECT count(*) FROM {table}") == 1


# --- Redis


async def a_debt_stays_what_it_is(scene: Scene) -> None:
    """Written by a clock that was an hour ahead."""
    redis = scene.shop.redis
    limits = RateLimits(redis, DEFAULT_PIPELINE, requests_per_minute=None, tokens_per_minute=600)
    await limits.charge(1200)
    paid, written = map(float, str(await redis.get(keys.tokens(DEFAULT_PIPELINE))).split())
    await redis.set(keys.tokens(DEFAULT_PIPELINE), f"{paid + 3600} {written + 3600}")
    assert await limits.reserve(0.0) < 300


async def a_pause_that_has_no_end_is_none(scene: Scene) -> None:
    redis = scene.shop.redis
    await redis.set(keys.limiter(DEFAULT_PIPELINE), "1", px=HUNDRED_DAYS_MILLISECONDS)
    assert await model_limits.paused_for(redis, DEFAULT_PIPELINE) == 0


async def who_asks_again_is_chosen_anew(scene: Scene) -> None:
    redis = scene.shop.redis
    await refusal.refuse(redis, DEFAULT_PIPELINE, Refusal("no key", 60))
    await redis.set(keys.probe(DEFAULT_PIPELINE), "x", px=HUNDRED_DAYS_MILLISECONDS)
    worker = (await scene.shop.worker()).id
    assert await refusal.may_ask(redis, DEFAULT_PIPELINE, worker, 60)


CHECKS: list[tuple[str, Callable[[Scene], Awaitable[None]]]] = [
    ("bounded_leases", an_endless_lease_is_none),
    ("bounded_terms", who_has_an_endless_lease_leads_no_more),
    (
        "given_up_on_any_clock",
        what_was_given_up_is_free_on_a_clock_set_back_by_less_than_a_lease,
    ),
    ("bounded_lease_at_claim", its_claim_is_free),
    ("bounded_lease_at_observe", its_claim_is_not_held),
    ("bounded_lease_at_dead_workers", it_is_dead),
    ("bounded_lease_at_forget_workers", it_is_forgotten),
    ("patience_after_a_step", a_step_ends_no_lease),
    ("bounded_retries", a_retry_that_is_due_in_an_hour_is_due_now),
    ("deadlines_look_again", an_accept_is_not_late_by_a_clock_that_was_set),
    ("patrol", what_is_below_the_mark_is_found),
    ("patrol_beyond_clocks", what_is_beyond_any_clock_is_found),
    ("witnessed_time", a_clock_that_jumps_ahead_deletes_nothing),
    ("old_ids", what_a_clock_called_old_stays_while_its_id_is_young),
    ("old_ids", a_key_stays_while_its_application_is_young),
    ("debts_are_counted_anew", a_debt_stays_what_it_is),
    ("bounded_pauses", a_pause_that_has_no_end_is_none),
    ("bounded_probes", who_asks_again_is_chosen_anew),
]
IDS = [f"{guard}: {check.__name__}" for guard, check in CHECKS]


@pytest.mark.parametrize(("guard", "check"), CHECKS, ids=IDS)
async def test_it_holds(
    shop: Shop,
    make_desk: MakeDesk,
    guard: str,
    check: Callable[[Scene], Awaitable[None]],
) -> None:
    del guard
    await check(Scene(shop, make_desk))


@pytest.mark.parametrize(("guard", "check"), CHECKS, ids=IDS)
async def test_off_switch_it_does_not_hold_without_the_guard(
    shop: Shop,
    make_desk: MakeDesk,
    guard: str,
    check: Callable[[Scene], Awaitable[None]],
) -> None:
    with without(guard), pytest.raises(AssertionError):
        await check(Scene(shop, make_desk))
