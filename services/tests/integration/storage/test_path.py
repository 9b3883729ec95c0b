from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import uuid_utils.compat as uuid7s

from shortlist.domain.line.application import (
    ApplicationId,
    Claim,
    NewApplication,
    PipelineName,
    Verdict,
    WorkerId,
)
from shortlist.storage.postgres.queries import applications, claims, workers
from shortlist.storage.redis.line import Depth, Entry, Line

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection
    from shortlist.storage.redis import Redis

DEFAULT = PipelineName("default")


def new(payload: str = "p") -> NewApplication:
    return NewApplication(ApplicationId(uuid7s.uuid7()), DEFAULT, "Ada", payload)


async def test_an_application_is_accepted_claimed_completed_and_read(db: Connection) -> None:
    application, worker = new(), WorkerId(uuid4())
    assert await applications.accept(db, [application]) == [applications.Accepted(application.id)]
    assert (await applications.views(db, [application.id]))[application.id].status == "pending"
    claim = await claims.claim_held(db, application.id, worker)
    assert isinstance(claim, Claim)
    assert claim.attempt == 1
    assert (await applications.views(db, [application.id]))[application.id].status == "scoring"
    verdict = Verdict(application.id, 1, "scored", 50.0)
    assert await claims.complete(db, [verdict], pipeline=DEFAULT, worker_id=worker) == {
        application.id
    }
    view = (await applications.views(db, [application.id]))[application.id]
    assert (view.status, view.score) == ("scored", 50.0)


async def test_a_verdict_whose_answer_got_lost_may_be_sent_again(db: Connection) -> None:
    application, worker = new(), WorkerId(uuid4())
    await applications.accept(db, [application])
    await claims.claim_held(db, application.id, worker)
    verdict = Verdict(application.id, 1, "scored", 50.0)
    for _ in range(2):
        counted = await claims.complete(db, [verdict], pipeline=DEFAULT, worker_id=worker)
        assert counted == {application.id}
    assert await db.fetchval("SELECT count(*) FROM audit_log") == 1


async def test_a_leased_claim_is_exclusive_while_its_workers_lease_runs(db: Connection) -> None:
    application, first, second = new(), WorkerId(uuid4()), WorkerId(uuid4())
    await applications.accept(db, [application])
    await workers.enrol(db, first, DEFAULT, "perWrite")
    assert len(await claims.claim_leased(db, [application.id], first)) == 1
    assert await claims.claim_leased(db, [application.id], second) == []
    await db.execute("UPDATE workers SET lease_expires_at = now() - interval '1 s'")
    taken = await claims.claim_leased(db, [application.id], second)
    assert [claim.attempt for claim in taken if isinstance(claim, Claim)] == [2]
    stale = Verdict(application.id, 1, "scored", 1.0)
    assert await claims.complete(db, [stale], pipeline=DEFAULT, worker_id=first) == set()


async def test_the_line_delivers_once_and_counts(line_redis: Redis) -> None:
    line = Line(line_redis, DEFAULT)
    await line.ensure_group()
    entries = [Entry(new().id) for _ in range(3)]
    assert await line.publish(entries) == Depth(waiting=3, delivered=0)
    got = await line.pull("w", 2, 0.1)
    assert [d.application_id for d in got] == [e.application_id for e in entries[:2]]
    assert await line.depth() == Depth(waiting=1, delivered=2)
    head = await line.head(line.line)
    assert head is not None
    assert head.application_id == entries[2].application_id
    await line.acknowledge(got)
    assert await line.depth() == Depth(waiting=1, delivered=0)
