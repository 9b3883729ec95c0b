"""Any moment of the past, beside the fold of the audit; with heads, without them, page by page."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.hiring.replay import replay
from shortlist.hiring.errors import InvalidError, NotFoundError
from shortlist.storage.postgres.queries.hiring.reading import heads
from testkit.hiring.living import LivingLine

if TYPE_CHECKING:
    from shortlist.domain.hiring.ordering import Order
    from shortlist.hiring.reading import Views
    from shortlist.hiring.views import ReplayView
    from shortlist.storage.postgres import Connection


@pytest.fixture
def short_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads of 40 for every 30 events, so that a short past has many that do not hold all."""
    monkeypatch.setattr(heads, "EVERY", 30)
    monkeypatch.setattr(heads, "LENGTH", 40)
    monkeypatch.setattr(heads, "FOLD_MOST", 35)


async def write_heads(db: Connection, it: LivingLine) -> int:
    written = 0
    while await heads.write_next(db, it.memory.id):
        written += 1
    return written


def told(view: ReplayView) -> tuple[list[tuple[int, str]], list[int], list[int | None]]:
    return (
        [(one.application_id, one.status) for one in view.active_applicants],
        [one.application_id for one in view.waitlist_applicants],
        [one.queue_position for one in view.waitlist_applicants],
    )


def folded(
    it: LivingLine, sequence: int
) -> tuple[list[tuple[int, str]], list[int], list[int | None]]:
    then = replay(it.memory.id, it.memory.events, sequence=sequence)
    waiting: list[int] = [p.id for p in then.line()]
    return (
        [(p.id, p.status) for p in then.holders()],
        waiting,
        list(range(1, len(waiting) + 1)),
    )


@pytest.mark.usefixtures("short_heads")
@pytest.mark.parametrize("with_heads", [True, False])
@pytest.mark.parametrize("order", ["fifo", "score"])
async def test_a_replay_at_any_event_is_the_fold_up_to_it(
    db: Connection, views: Views, order: Order, *, with_heads: bool
) -> None:
    it = LivingLine(db, 1, order, seed=11, capacity=50)
    for joins in (1.0, 0.2, 0.7):
        await it.live(150, joins)
    if with_heads:
        assert await write_heads(db, it) == it.rows.standing.sequence // 30
    last = it.rows.standing.sequence
    for sequence in (0, 1, 2, *range(3, last, 7), last, last + 5):
        page = await views.replay(1, sequence=sequence)
        view, then = page.view, it.memory.events[min(sequence, last) - 1]
        assert told(view) == folded(it, sequence), sequence
        assert page.next is None
        assert view.sequence == min(sequence, last)
        if sequence:
            assert (view.active_count, view.waitlist_count) == (then.held, then.waiting)
            assert view.as_of == then.at


@pytest.mark.usefixtures("short_heads")
@pytest.mark.parametrize("limit", [1, 7, 45])
async def test_a_moment_is_read_page_by_page_while_the_opening_goes_on(
    db: Connection, views: Views, limit: int
) -> None:
    it = LivingLine(db, 1, "score", seed=5, capacity=60)
    await it.live(120, 1.0)
    await it.live(100, 0.4)
    await write_heads(db, it)
    moment = it.rows.standing.sequence - 20
    page = await views.replay(1, sequence=moment, limit=limit)
    active, waiting, positions = told(page.view)
    events = [page.view.events]
    while page.next is not None:
        await it.live(5, 0.3)
        page = await views.replay(1, limit=limit, after=page.next)
        assert page.view.sequence == moment
        more = told(page.view)
        assert max(len(more[0]), len(more[1]), len(page.view.events)) <= limit
        active, waiting, positions = active + more[0], waiting + more[1], positions + more[2]
        events.insert(0, page.view.events)
    assert (active, waiting, positions) == folded(it, moment)
    expected = [e for e in it.memory.events[:moment] if e.placement_id is not None]
    assert [e.created_at for part in events for e in part] == [e.at for e in expected]
    assert page.view.event_count == len(expected)


async def test_a_time_is_the_last_event_in_its_millisecond(db: Connection, views: Views) -> None:
    it = LivingLine(db, 1, "fifo", seed=5, capacity=5)
    await it.live(80, 0.6)
    events = it.memory.events
    for event in events[::9]:
        inside = event.at + dt.timedelta(microseconds=999)
        page = await views.replay(1, as_of=inside.astimezone(dt.timezone(dt.timedelta(hours=5))))
        expected = max(e.sequence for e in events if e.at <= event.at)
        assert page.view.sequence == expected
        assert page.view.as_of == event.at
    before = await views.replay(1, as_of=events[0].at - dt.timedelta(milliseconds=1))
    assert told(before.view) == ([], [], [])
    assert (before.view.sequence, before.view.capacity, before.view.events) == (0, None, [])
    for year, month, day in ((1, 1, 1), (9999, 12, 31)):
        for hours in (-23, 23):
            zone = dt.timezone(dt.timedelta(hours=hours))
            edge = dt.datetime(year, month, day, 12, tzinfo=zone)
            page = await views.replay(1, as_of=edge)
            assert page.view.sequence == (0 if year == 1 else events[-1].sequence)


async def test_now_is_the_newest_event_even_if_the_clock_was_set_back(
    db: Connection, views: Views
) -> None:
    it = LivingLine(db, 1, "fifo", seed=5)
    it.memory.clock = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    await it.live(10, 1.0)
    page = await views.replay(1)
    assert page.view.sequence == it.rows.standing.sequence
    assert page.view.as_of == it.memory.events[-1].at


async def test_the_capacity_of_a_moment_is_what_its_rules_were(
    db: Connection, views: Views
) -> None:
    it = LivingLine(db, 1, "fifo", seed=8, capacity=3)
    await it.live(200, 0.3)
    capacity = 0
    for event in it.memory.events:
        capacity = event.metadata.get("capacity", capacity)
        if event.sequence % 20 == 0:
            page = await views.replay(1, sequence=event.sequence, limit=1)
            assert page.view.capacity == capacity


async def test_what_is_not_there_or_no_cursor_is_refused(db: Connection, views: Views) -> None:
    await LivingLine(db, 1, "fifo", seed=8).live(5, 1.0)
    for missing in (0, -1, 2, 2**63):
        with pytest.raises(NotFoundError):
            await views.replay(missing)
    listed = (await views.jobs(limit=1)).next
    assert listed is None
    for cursor in ("x", "§", "e30", "A" * 5_000, "bnVsbA"):
        with pytest.raises(InvalidError):
            await views.replay(1, after=cursor)


@pytest.mark.usefixtures("short_heads")
async def test_heads_are_wanted_where_events_have_passed(db: Connection) -> None:
    lines = [LivingLine(db, number, "fifo", seed=number) for number in (1, 2, 3)]
    for it, acts in zip(lines, (40, 5, 70), strict=True):
        await it.live(acts, 1.0)
    assert await heads.wanted(db, lines[0].memory.id, 2) == ([3], 3)
    assert await heads.wanted(db, lines[2].memory.id, 2) == ([], None)
    wanted, after = await heads.wanted(db, type(lines[0].memory.id)(0), 9)
    assert (wanted, after) == ([1, 3], None)
    for number in wanted:
        assert await heads.write_next(db, number)
        while await heads.write_next(db, number):
            pass
    assert await heads.wanted(db, type(lines[0].memory.id)(0), 9) == ([], None)
