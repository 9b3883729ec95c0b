"""An attempt that a live worker left open is scored again; one that it holds is never taken away.

The worker's word is its list of what it holds (`shortlist.worker.claims.lists`). In `perJob` the
session lock says it: it goes with the task that held it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from shortlist.domain.line.application import (
    DEFAULT_PIPELINE,
    ApplicationId,
    NewApplication,
    WorkerId,
)
from shortlist.maintenance.main import Maintenance
from shortlist.runtime.process import Stopping
from shortlist.storage.postgres.queries import applications, claims, recovery, workers
from shortlist.storage.postgres.statements import SQL
from shortlist.storage.redis import generation
from shortlist.worker.attempts import Attempts
from shortlist.worker.claims.lists import HeldLists
from shortlist.worker.runner import Runner
from testkit.faults.unguarding import changed
from testkit.processes.scripted import Scripted
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.queries.workers import HeldList
    from testkit.processes.bench import Bench

PROMISE_SECONDS = 5.0
"""Of `perWrite`: 1 s to the next list, 2 s to the next sweep. `perJob`: two sweeps, 1 s apart."""


@asynccontextmanager
async def maintained(bench: Bench) -> AsyncIterator[None]:
    """With a leader that sweeps as it does by default, and knows that Redis has all it had.

    A Redis that it does not know yet is given everything again: what is unfinished by then, too.
    """

    async def redis_is_known() -> bool:
        return await generation.memory(bench.redis, DEFAULT_PIPELINE) == "whole"

    stopping = Stopping()
    maintenance = asyncio.create_task(Maintenance(bench.settings()).run(stopping))
    try:
        await until(redis_is_known, what="the leader has looked at Redis")
        yield
    finally:
        stopping.ask()
        await maintenance


def leave_the_first_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug: the first attempt is neither finished nor ended, and its task ends."""
    done: list[object] = []
    as_it_is = Attempts.run

    async def run(attempts: Attempts, held: object, call: object) -> bool:
        if not done:
            done.append(held)
            return False
        return await as_it_is(attempts, held, call)  # type: ignore[arg-type]

    monkeypatch.setattr(Attempts, "run", run)


async def what_is_left_open_is_scored_again(bench: Bench, mode: str) -> None:
    async with maintained(bench), bench.worker(connection_mode=mode):
        [one] = await bench.submit()
        await bench.until([one], lambda view: view.attempts >= 1)
        async with asyncio.timeout(PROMISE_SECONDS):
            [view] = await bench.until_final([one])
    assert (view.status, view.attempts) == ("scored", 2)


async def test_an_attempt_that_a_live_worker_left_open_is_scored_again(
    bench: Bench, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_the_first_open(monkeypatch)
    await what_is_left_open_is_scored_again(bench, mode)


def without_lists(statement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that asks the lease alone."""
    monkeypatch.setitem(SQL, statement, changed(statement, "t.lists < w.lists", "false"))


async def test_off_switch_a_sweep_that_asks_the_lease_alone_leaves_it_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_the_first_open(monkeypatch)
    without_lists("recovery.observe", monkeypatch)
    with pytest.raises(TimeoutError):
        await what_is_left_open_is_scored_again(bench, "perWrite")


async def test_off_switch_a_worker_that_lists_all_it_ever_claimed_leaves_it_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_the_first_open(monkeypatch)
    ever: set[ApplicationId] = set()

    def in_work(runner: Runner) -> list[ApplicationId]:
        ever.update(delivery.application_id for delivery in runner._tasks.values())
        return [*ever, *ids]

    ids: list[ApplicationId] = []
    monkeypatch.setattr(Runner, "in_work", in_work)
    async with maintained(bench), bench.worker(connection_mode="perWrite"):
        ids += await bench.submit()
        await bench.until(ids, lambda view: view.attempts == 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(PROMISE_SECONDS):
                await bench.until_final(ids)


async def test_many_claims_stay_held_through_list_after_list(
    bench: Bench,
) -> None:
    ids = await bench.submit(400)
    go_on = asyncio.Event()
    scorer = Scripted(go_on)
    many = {"connection_mode": "perWrite", "concurrency": 400}
    async with maintained(bench), bench.worker(scorer, **many), bench.worker(scorer, **many):
        await scorer.until_running(400)
        await until_lists(bench.db, 4)  # more than a suspect's grace, and some looks of the sweep
        go_on.set()
        views = await bench.until_final(ids)
    assert {(view.status, view.attempts) for view in views} == {("scored", 1)}


async def until_lists(db: Connection, more: int) -> None:
    """Until each worker has sent so many more lists."""
    before = await db.fetchval("SELECT max(lists) FROM workers") or 0

    async def sent() -> bool:
        fewest = await db.fetchval("SELECT min(coalesce(lists, 0)) FROM workers")
        return bool(fewest >= before + more)

    await until(sent, within_seconds=60, what=f"{more} more lists are sent")


Event = Literal[
    "the claim is in work", "its number is read", "it is claimed", "its task ends",
    "a list is made", "that list arrives", "another list is made", "the other list arrives",
]  # fmt: skip

CLAIM: tuple[Event, ...] = (
    "the claim is in work", "its number is read", "it is claimed", "its task ends",
)  # fmt: skip
LISTS: tuple[tuple[Event, ...], ...] = (
    ("a list is made", "that list arrives", "another list is made", "the other list arrives"),
    ("a list is made", "another list is made", "that list arrives", "the other list arrives"),
    ("a list is made", "another list is made", "the other list arrives", "that list arrives"),
)
"""Renewals may be slow: a list may arrive behind a newer one."""


def interleavings(one: tuple[Event, ...], other: tuple[Event, ...]) -> Iterator[list[Event]]:
    """Each order in which two sequences can mix."""
    if not one or not other:
        yield [*one, *other]
        return
    for rest in interleavings(one[1:], other):
        yield [one[0], *rest]
    for rest in interleavings(one, other[1:]):
        yield [other[0], *rest]


ORDERS = [order for lists in LISTS for order in interleavings(CLAIM, lists)]


@dataclass
class Worker:
    """A worker's claims and lists, step by step, on Postgres; and one that would rob it."""

    db: Connection
    number: Callable[[HeldLists], int | None]
    """The number with which a claim is asked for."""
    id: WorkerId = field(default_factory=lambda: WorkerId(uuid4()))
    thief: WorkerId = field(default_factory=lambda: WorkerId(uuid4()))
    in_work: set[ApplicationId] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.lists = HeldLists(lambda: self.in_work)

    async def enrol(self) -> None:
        for one in (self.id, self.thief):
            await workers.enrol(self.db, one, DEFAULT_PIPELINE, "perWrite")

    async def renew(self, held: HeldList) -> None:
        assert await workers.renew(self.db, self.id, held)

    async def claim(self, one: ApplicationId, lists: int | None) -> None:
        assert await claims.claim_leased(self.db, [one], self.id, lists=lists)

    async def is_held(self, one: ApplicationId) -> bool:
        """Whether the sweep says so; a claim by another worker must agree."""
        [seen] = await recovery.observe(self.db, DEFAULT_PIPELINE, [one])
        transaction = self.db.transaction()
        await transaction.start()
        robbed = await claims.claim_leased(self.db, [one], self.thief, lists=0)
        await transaction.rollback()
        assert seen.held != bool(robbed)
        return seen.held

    async def play(self, order: list[Event]) -> ApplicationId:
        """Do it all in this order; whatever the order, what is held must be seen to be."""
        [one] = await accepted(self.db, 1)
        number: int | None = None
        made: list[HeldList] = []
        for event in order:
            if event == "the claim is in work":
                self.in_work.add(one)
            elif event == "its number is read":
                number = self.number(self.lists)
            elif event == "it is claimed":
                await self.claim(one, number)
            elif event == "its task ends":
                self.in_work.discard(one)
            elif event in ("a list is made", "another list is made"):
                made.append(self.lists.make())
            else:
                await self.renew(made[event == "the other list arrives"])
            happened = order[: order.index(event) + 1]
            if "it is claimed" in happened and "its task ends" not in happened:
                assert await self.is_held(one), f"taken away after {happened}"
        return one


async def accepted(db: Connection, count: int) -> list[ApplicationId]:
    group = [
        NewApplication(ApplicationId(uuid7()), DEFAULT_PIPELINE, "Ada", "payload")
        for _ in range(count)
    ]
    await applications.accept(db, group)
    return [application.id for application in group]


async def every_order_keeps_what_is_held(
    db: Connection, number: Callable[[HeldLists], int | None]
) -> None:
    worker = Worker(db, number)
    await worker.enrol()
    for order in ORDERS:
        one = await worker.play(order)
        await worker.renew(worker.lists.make())
        assert not await worker.is_held(one), f"kept after {order}, and a list without it"


async def test_in_every_order_of_claims_and_lists_what_is_held_is_kept_and_the_rest_let_go_of(
    db: Connection,
) -> None:
    assert len(ORDERS) == 3 * 70
    await every_order_keeps_what_is_held(db, lambda lists: lists.made)


async def test_off_switch_without_its_number_a_claim_would_be_judged_by_an_older_list(
    db: Connection,
) -> None:
    with pytest.raises(AssertionError, match="taken away"):
        await every_order_keeps_what_is_held(db, lambda _: 0)


async def test_off_switch_a_claim_that_asks_the_lease_alone_is_refused_what_was_let_go_of(
    db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_lists("claims.claim", monkeypatch)
    with pytest.raises(AssertionError):
        await every_order_keeps_what_is_held(db, lambda lists: lists.made)


async def test_a_worker_of_the_release_before_holds_by_its_lease_alone(db: Connection) -> None:
    worker = Worker(db, lambda _: None)
    await worker.enrol()
    [theirs, ours] = await accepted(db, 2)
    await db.execute(
        "INSERT INTO attempts (application_id, attempt, worker_id) VALUES ($1, 1, $2)",
        theirs,
        worker.id,
    )
    assert await worker.is_held(theirs)  # it sends no list
    await worker.claim(ours, 0)
    assert await worker.is_held(ours)
    await worker.renew(worker.lists.make())
    assert await worker.is_held(theirs)  # a list says nothing of an attempt without a number
    assert not await worker.is_held(ours)


async def test_of_hundreds_that_a_worker_holds_only_what_it_let_go_of_is_not_held(
    db: Connection,
) -> None:
    worker = Worker(db, lambda lists: lists.made)
    await worker.enrol()
    ids = await accepted(db, 500)
    worker.in_work.update(ids)
    assert len(await claims.claim_leased(db, ids, worker.id, lists=worker.lists.made)) == 500
    await worker.renew(worker.lists.make())
    assert all(seen.held for seen in await recovery.observe(db, DEFAULT_PIPELINE, ids))
    gone = worker.in_work.pop()
    await worker.renew(worker.lists.make())
    looked = await recovery.observe(db, DEFAULT_PIPELINE, ids)
    assert [seen.id for seen in looked if not seen.held] == [gone]


async def pages_after_lists(db: Connection) -> int:
    """How long the table of workers is after fifty lists that an old snapshot may see."""
    worker = Worker(db, lambda lists: lists.made)
    await worker.enrol()
    worker.in_work.update(await accepted(db, 60))
    async with db.transaction():
        for _ in range(50):
            await worker.renew(worker.lists.make())
        return int(await db.fetchval("SELECT pg_relation_size('workers') / 8192"))


async def test_lists_are_kept_beside_their_rows_which_every_look_reads(db: Connection) -> None:
    assert await pages_after_lists(db) <= 2


async def test_off_switch_lists_within_their_rows_would_make_the_table_long(
    db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_kept_beside_the_row", list)
    assert await pages_after_lists(db) > 2
