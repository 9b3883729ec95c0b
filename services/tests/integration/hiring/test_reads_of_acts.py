"""What the product's own acts write, read back: at each event what the audit's fold says."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from shortlist.domain.hiring.audit import Actor, Event
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import OpeningId, PlacementId
from shortlist.domain.hiring.replay import replay
from shortlist.hiring.acts import ActionRequest, Acts, NewOpening
from shortlist.hiring.by import By
from shortlist.hiring.errors import HiringError
from shortlist.hiring.settlement import ArrivedScore, settle
from shortlist.hiring.transactions import SESSION
from shortlist.storage.postgres.database import Database
from shortlist.storage.postgres.queries.hiring.opening_events import event_of
from shortlist.storage.postgres.queries.hiring.reading import audit, heads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from shortlist.domain.hiring.company_acts import Action
    from shortlist.domain.hiring.ordering import Order
    from shortlist.hiring.reading import Views
    from shortlist.storage.postgres import Connection

BY = By(Actor("key", "42"))


@pytest.fixture
async def acts(database_url: str) -> AsyncIterator[Acts]:
    database = Database(
        database_url, name="acts", connections=2, timeout_seconds=20, settings=SESSION
    )
    made = Acts(database, on_submitted=lambda _: None, on_committed=lambda _: None)
    yield made
    await made.finish()
    await database.close()


async def live(
    db: Connection, acts: Acts, views: Views, opening_id: OpeningId, chance: random.Random
) -> None:
    """A hundred applications, and acts of all kinds on some of them."""
    await asyncio.gather(
        *(acts.apply_publicly(f"P {n}", f"p{n}@example.org", opening_id, BY) for n in range(100))
    )
    done: Awaitable[Any]
    for _ in range(60):
        entries = (await views.entries(opening_id)).entries
        chosen = PlacementId(chance.choice(entries).application_id)
        action: Action = chance.choice(["promote", "remove", "move", "reinstate"])
        request = ActionRequest(action, (chosen,), chance.randrange(1, 50), "because")
        match chance.randrange(6):
            case 0:
                done = acts.withdraw(chosen, BY)
            case 1:
                pending = [e for e in entries if e.status == "PENDING_ACKNOWLEDGMENT"]
                done = acts.acknowledge(
                    PlacementId(pending[0].application_id) if pending else chosen, BY
                )
            case 2:
                scores = [ArrivedScore(chosen, "s", chance.uniform(0, 100))]
                async with db.transaction():
                    await settle(db, [opening_id], {opening_id: scores})
                continue
            case 3:
                capacity = chance.randrange(1, 30)
                done = acts.change(opening_id, {"capacity": capacity}, BY)
            case _:
                done = acts.act(opening_id, request, BY)
        with suppress(HiringError):  # not all can be done to all
            await done


async def all_events(db: Connection, opening_id: OpeningId) -> list[Event]:
    rows = await audit.after(db, opening_id, after=0, upto=10**9, limit=10**6)
    return [event_of(row) for row in rows]


@pytest.mark.parametrize("order", ["fifo", "score"])
async def test_every_moment_of_what_acts_wrote_is_the_fold_up_to_it(
    db: Connection, acts: Acts, views: Views, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "EVERY", 40)
    monkeypatch.setattr(heads, "LENGTH", 45)
    monkeypatch.setattr(heads, "FOLD_MOST", 30)
    job = await acts.open(NewOpening("Baker", Rules(5, order=order)), BY)
    opening_id = OpeningId(job.id)
    await live(db, acts, views, opening_id, random.Random(5))
    while await heads.write_next(db, opening_id):
        pass
    events = await all_events(db, opening_id)
    assert len({event.type for event in events}) > 6
    for sequence in range(1, len(events) + 1, 3):
        then = replay(opening_id, events, sequence=sequence)
        view = (await views.replay(opening_id, sequence=sequence)).view
        assert [(e.application_id, e.status) for e in view.active_applicants] == [
            (p.id, p.status) for p in then.holders()
        ], sequence
        assert [e.application_id for e in view.waitlist_applicants] == [
            p.id for p in then.line()
        ], sequence
    told = await views.verify(opening_id)
    assert told.problem is None
    assert told.events == len(events)


async def test_now_is_answered_alike_by_every_view(
    db: Connection, acts: Acts, views: Views
) -> None:
    job = await acts.open(NewOpening("Baker", Rules(5)), BY)
    opening_id = OpeningId(job.id)
    await live(db, acts, views, opening_id, random.Random(9))
    detail = (await views.job(opening_id)).view
    queue = (await views.queue(opening_id)).view
    summary = await views.summary(opening_id)
    now = (await views.replay(opening_id)).view
    waiting = [e.application_id for e in detail.waitlist_applicants]
    assert [e.application_id for e in queue.waitlist_entries] == waiting
    assert [e.application_id for e in now.waitlist_applicants] == waiting
    assert [e.position for e in queue.waitlist_entries] == list(range(1, len(waiting) + 1))
    holders = [e.application_id for e in detail.active_applicants]
    assert [e.application_id for e in now.active_applicants] == holders
    assert (summary.active_count, summary.waitlist_count) == (len(holders), len(waiting))
    assert detail.active_count == len(holders)
    listed = await views.entries(opening_id)
    assert summary.total_applications == listed.total
    for entry in listed.entries[::5]:
        told = await views.application(entry.application_id)
        status = await views.status(entry.applicant_id)
        (own,) = (a for a in status.applications if a.application_id == entry.application_id)
        assert own.queue_position == entry.queue_position == told.queue_position
        assert own.status == entry.status == told.status
        timeline = (await views.timeline(entry.applicant_id)).items
        assert told.timeline == timeline
