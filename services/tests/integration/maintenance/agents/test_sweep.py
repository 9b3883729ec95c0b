from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, get_args
from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from shortlist.domain.line.application import (
    DEFAULT_PIPELINE,
    ApplicationId,
    ConnectionMode,
    PipelineName,
    WorkerId,
)
from shortlist.domain.line.sweep import NOTHING, Urgency
from shortlist.maintenance.agents.sweep import Sweeps
from shortlist.storage.postgres.queries import (
    applications,
    claims,
    pipelines,
    recovery,
    requeue,
    workers,
)
from shortlist.storage.redis.line import Entry
from testkit.faults.unguarding import without

if TYPE_CHECKING:
    from integration.maintenance.conftest import MakeDesk, Shop
    from shortlist.maintenance.agents.sweep import Sweep
    from shortlist.maintenance.context import LeaderContext

GRACE = 1.05
"""Suspects are lost after a second; a look after this much is the next one that counts."""
MODES = get_args(ConnectionMode)


async def swept(sweep: Sweep, looks: int = 2) -> None:
    for look in range(looks):
        if look:
            await asyncio.sleep(GRACE)
        await sweep.run()


async def what_never_reached_the_line_is_published(shop: Shop, sweep: Sweep) -> None:
    lost = await shop.accept(3)
    await sweep.run()
    assert await shop.in_line() == []  # its publishing may be under way
    await asyncio.sleep(GRACE)
    await sweep.run()
    assert await shop.in_line() == lost, "not published"
    assert await shop.in_again() == []


async def test_a_row_that_never_reached_the_line_is_published(shop: Shop, sweep: Sweep) -> None:
    await what_never_reached_the_line_is_published(shop, sweep)


async def test_off_switch_without_the_sweep_the_row_stays_unpublished(
    shop: Shop, sweep: Sweep
) -> None:
    with without("sweep"), pytest.raises(AssertionError, match="not published"):
        await what_never_reached_the_line_is_published(shop, sweep)


async def test_nothing_is_published_twice_while_it_waits(
    shop: Shop, sweep: Sweep, make_desk: MakeDesk
) -> None:
    waiting = await shop.accept(5, age_seconds=60, publish=True)
    lost = await shop.accept(5, age_seconds=90)
    worker = await shop.worker()
    given_back = await worker.claim(*await shop.accept(2, age_seconds=120))
    for claim in given_back:
        assert await claims.end_attempt(
            worker.connections[0], claim, DEFAULT_PIPELINE, worker.id,
            outcome="released", detail="", retry_seconds=None,
        )  # fmt: skip
    await shop.line.republish([Entry(c.application_id) for c in given_back], by="drain", first=True)
    await swept(sweep, 4)
    assert await shop.in_line() == waiting + lost
    assert await shop.in_again() == [c.application_id for c in given_back]
    successors = Sweeps(await make_desk())
    await successors.learn_pipelines()
    for successor in successors:
        await swept(successor, 3)
    assert await shop.in_line() == waiting + lost
    assert await shop.in_again() == [c.application_id for c in given_back]


async def test_what_is_older_than_the_head_of_the_line_is_missing_from_it(
    shop: Shop, sweep: Sweep
) -> None:
    head = await shop.accept(1, age_seconds=30, publish=True)
    newer = await shop.accept(1, age_seconds=10)  # lost, and not noticed before its turn
    older = await shop.accept(1, age_seconds=60)
    await swept(sweep)
    assert (await shop.in_line())[1:] == older
    await shop.line.pull("a worker", 2, 0.01)
    await shop.finish(*head, *older)
    await swept(sweep)
    assert (await shop.in_line())[2:] == newer


@pytest.mark.parametrize("mode", MODES)
async def test_what_is_held_is_left_alone_until_its_worker_is_gone(
    shop: Shop, sweep: Sweep, mode: ConnectionMode
) -> None:
    worker = await shop.worker(mode)
    ids = await shop.accept(3, publish=True)
    await shop.line.pull(str(worker.id), 3, 0.01)
    assert len(await worker.claim(*ids)) == 3
    await swept(sweep)
    assert await shop.in_again() == []
    await worker.die()
    await workers.leave(shop.db, worker.id)

    async def until_free() -> None:
        while any(s.held for s in await recovery.observe(shop.db, DEFAULT_PIPELINE, ids)):
            await asyncio.sleep(0.01)

    await asyncio.wait_for(until_free(), 30)
    await sweep.run()  # one look: no live worker could hold them
    assert sorted(await shop.in_again()) == ids
    await sweep.run()
    assert len(await shop.in_again()) == 3


async def test_what_a_live_worker_has_let_go_of_needs_two_looks(shop: Shop, sweep: Sweep) -> None:
    worker = await shop.worker()
    (one,) = await shop.accept(1, publish=True)
    await shop.line.pull(str(worker.id), 1, 0.01)
    await worker.claim(one)
    await worker.connections[1].close()  # its connection broke: it takes the claim again at once
    await sweep.run()
    assert await shop.in_again() == []
    await asyncio.sleep(GRACE)
    await sweep.run()
    assert await shop.in_again() == [one]


async def test_what_is_scheduled_or_finished_is_left_alone(shop: Shop, sweep: Sweep) -> None:
    worker = await shop.worker()
    (retried, finished) = await shop.accept(2)
    (claim,) = await worker.claim(retried)
    await claims.end_attempt(
        worker.connections[1], claim, DEFAULT_PIPELINE, worker.id,
        outcome="errored", detail="", retry_seconds=600,
    )  # fmt: skip
    await shop.finish(finished)
    await worker.die()
    await swept(sweep, 3)
    assert await shop.in_again() == await shop.in_line() == []


async def abandoned(shop: Shop, one: ApplicationId, deaths: str) -> None:
    """Left open by workers that vanished: in company (``c``) or alone (``a``)."""
    first = await shop.db.fetchval(
        "SELECT coalesce(max(attempt), 0) + 1 FROM attempts WHERE application_id = $1", one
    )
    await shop.db.executemany(
        "INSERT INTO attempts (application_id, attempt, worker_id, alone) VALUES ($1, $2, $3, $4)",
        [(one, attempt, uuid4(), kind == "a") for attempt, kind in enumerate(deaths, first)],
    )


async def test_an_application_that_kills_its_workers_alone_fails_with_a_reason(
    shop: Shop, sweep: Sweep, desk: LeaderContext
) -> None:
    poison, neighbour, unlucky, scored = await shop.accept(4)
    await abandoned(shop, poison, "ccaa")
    await abandoned(shop, neighbour, "c" * 99)
    await abandoned(shop, unlucky, "ca")
    await shop.finish(scored)
    await sweep.run()
    views = await applications.views(shop.db, [poison])
    assert views[poison].status == "failed"
    assert views[poison].reason == (
        "abandoned: its worker died or let go of it each time it was scored: "
        "2 times in company, 2 times alone"
    )
    assert await shop.in_again() == [neighbour, unlucky]
    assert sweep.suspects == {neighbour, unlucky}
    audit = await shop.db.fetch(
        "SELECT event, actor, attempt FROM audit_log WHERE application_id = $1", poison
    )
    assert [tuple(row) for row in audit] == [("failed", desk.actor, 4)]


async def test_while_nothing_else_is_scored_nothing_is_called_poisonous(
    shop: Shop, sweep: Sweep
) -> None:
    scored, one = await shop.accept(2)
    await shop.finish(scored)  # before
    await abandoned(shop, one, "cc" + "a" * 20)
    await sweep.run()
    assert await shop.in_again() == [one]


@pytest.mark.parametrize("places", [-150, 150, 700])
async def test_a_score_is_seen_beside_the_suspect_and_at_the_lines_head(
    shop: Shop, places: int
) -> None:
    ids = await shop.accept(1_600)
    one = ids[200]
    await abandoned(shop, one, "ccaa")
    (before,) = await recovery.observe(shop.db, DEFAULT_PIPELINE, [one])
    await shop.finish(ids[200 + places])
    (after,) = await recovery.observe(shop.db, DEFAULT_PIPELINE, [one])
    assert (before.others_end, after.others_end) == (False, places != 700)
    await shop.finish(ids[-1])
    (at_last,) = await recovery.observe(shop.db, DEFAULT_PIPELINE, [one])
    assert at_last.others_end


async def test_deaths_are_counted_anew_after_a_requeue_and_after_an_error(
    shop: Shop, sweep: Sweep
) -> None:
    requeued, errored, scored = await shop.accept(3)
    await abandoned(shop, requeued, "ccaa")
    await abandoned(shop, errored, "cca")
    await shop.finish(scored)
    await sweep.run()
    assert await requeue.requeue(shop.db, [requeued], "test") == {requeued}
    await shop.db.execute(
        "UPDATE attempts SET outcome = 'errored' WHERE application_id = $1 AND attempt = 3", errored
    )
    await abandoned(shop, requeued, "a")
    await abandoned(shop, errored, "a")
    seen = await recovery.observe(shop.db, DEFAULT_PIPELINE, [requeued, errored])
    assert [(one.abandoned, one.alone) for one in seen] == [(1, 1), (1, 1)]


async def test_a_failure_is_not_written_over_a_claim(shop: Shop) -> None:
    (one,) = await shop.accept(1)
    worker = await shop.worker()
    (seen,) = await recovery.observe(shop.db, DEFAULT_PIPELINE, [one])
    await worker.claim(one)
    assert not await recovery.fail(shop.db, seen, DEFAULT_PIPELINE, reason="r", actor="a")
    await worker.connections[1].close()
    (seen,) = await recovery.observe(shop.db, DEFAULT_PIPELINE, [one])
    assert await recovery.fail(shop.db, seen, DEFAULT_PIPELINE, reason="r", actor="a")
    assert not await recovery.fail(shop.db, seen, DEFAULT_PIPELINE, reason="r", actor="a")


async def as_it_was(_: Sweep) -> None:
    """Redis has lost nothing."""


async def test_pipelines_are_swept_apart(shop: Shop, sweeps: Sweeps) -> None:
    other = PipelineName("other")
    await pipelines.ensure(shop.db, other)
    ours = await shop.accept(1)
    theirs = ApplicationId(uuid7())
    await shop.db.execute(
        "INSERT INTO applications (id, pipeline, payload) VALUES ($1, $2, '')", theirs, other
    )
    await sweeps.learn_pipelines()
    await sweeps.turn(as_it_was)
    await asyncio.sleep(GRACE)
    await sweeps.turn(as_it_was)
    assert await shop.in_line() == ours
    their_sweep = await sweeps.of(other)
    assert their_sweep is not None
    entries = await their_sweep.line.entries_from(their_sweep.line.line, (0, 0), 9)
    assert [e.application_id for e in entries] == [theirs]


async def test_a_long_backlog_that_was_never_published_comes_out_whole_and_in_order(
    shop: Shop, sweep: Sweep
) -> None:
    ids = []
    for _ in range(12):
        ids += await shop.accept(1000)
    await swept(sweep)
    assert await shop.in_line() == ids
    await sweep.run()
    assert len(await shop.in_line()) == len(ids)


async def test_a_new_leader_begins_where_the_last_one_was(
    shop: Shop, sweeps: Sweeps, sweep: Sweep, make_desk: MakeDesk
) -> None:
    await shop.finish(*await shop.accept(10, age_seconds=3600))
    worker = await shop.worker()
    (held,) = await shop.accept(1, age_seconds=1800)
    await worker.claim(held)
    await shop.finish(*await shop.accept(10, age_seconds=900))
    await sweep.run()
    await sweeps._save_marks()
    (pipeline,) = await recovery.pipelines(shop.db)
    assert NOTHING < pipeline.swept_to < held
    await worker.die()
    await workers.leave(shop.db, worker.id)
    successors = Sweeps(await make_desk())
    await successors.learn_pipelines()
    successor = await successors.of(DEFAULT_PIPELINE)
    assert successor is not None
    assert successor.memory.low_water == pipeline.swept_to
    await swept(successor)
    assert await shop.in_again() == [held]


async def test_the_patrol_finds_what_lies_behind_the_marks(shop: Shop, sweeps: Sweeps) -> None:
    await shop.finish(*await shop.accept(3))
    await sweeps.turn(as_it_was)
    (late,) = await shop.accept(1, age_seconds=3600)  # by a host whose clock is an hour behind
    await asyncio.sleep(GRACE)
    await sweeps.turn(as_it_was)
    assert await shop.in_line() == []
    sweeps._patrol_at = 0.0  # its rest is over
    await sweeps.turn(as_it_was)
    await sweeps.turn(as_it_was)
    await asyncio.sleep(GRACE)
    await sweeps.turn(as_it_was)
    assert await shop.in_line() == [late]


async def test_urgent_newcomers_go_before_all_others(shop: Shop, sweep: Sweep) -> None:
    given, _ = await shop.accept(2, publish=True)
    dead = WorkerId(uuid4())
    await shop.line.pull(str(dead), 1, 0.01)
    await sweep.run(Urgency(ids={given}, dead={dead}))
    assert await shop.in_again() == [given]
