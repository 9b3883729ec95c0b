"""What is answered about now, beside what memory says."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from shortlist.domain.hiring.acts import Acknowledge, Score, Withdraw
from shortlist.domain.hiring.company_acts import CompanyAct
from shortlist.hiring.errors import InvalidError, NotFoundError
from shortlist.storage.postgres.queries.hiring.reading import heads
from testkit.hiring.living import LivingLine
from testkit.hiring.memory import COMPANY, PERSON, START

if TYPE_CHECKING:
    from shortlist.domain.hiring.placement import Placement
    from shortlist.hiring.reading import Views
    from shortlist.storage.postgres import Connection
    from testkit.hiring.memory import Memory


async def opening(db: Connection, number: int = 1, **more: Any) -> LivingLine:
    it = LivingLine(db, number, more.pop("order", "fifo"), seed=number, **more)
    await it.write()
    return it


def ids(entries: list[Any]) -> list[int]:
    return [entry.application_id for entry in entries]


async def test_jobs_are_listed_oldest_first_with_their_counts(db: Connection, views: Views) -> None:
    for number in (1, 2, 3):
        it = await opening(db, number, capacity=2)
        await it.live(number, 1.0)
    listed = await views.jobs()
    assert [(j.id, j.active_count, j.waitlist_count) for j in listed.items] == [
        (1, 1, 0), (2, 2, 0), (3, 2, 1),
    ]  # fmt: skip
    assert (listed.total, listed.next) == (3, None)
    first = await views.jobs(limit=2)
    assert ([j.id for j in first.items], first.total) == ([1, 2], 3)
    rest = await views.jobs(limit=2, after=first.next)
    assert ([j.id for j in rest.items], rest.total, rest.next) == ([3], 3, None)
    assert await views.opening(2) == listed.items[1]


async def test_an_answer_has_the_contracts_fields_and_times(db: Connection, views: Views) -> None:
    await (await opening(db)).live(2, 1.0)
    document = (await views.job(1)).view.model_dump(mode="json", by_alias=True)
    assert document["createdAt"] == "2026-05-04T10:00:00.000Z"
    assert document["description"] is None
    (holder,) = document["activeApplicants"]
    assert set(holder) == {
        "applicationId", "applicantId", "applicantName", "applicantEmail", "status",
        "queuePosition", "appliedAt", "promotedAt", "acknowledgeDeadline",
    }  # fmt: skip
    assert holder["queuePosition"] is None
    assert document["waitlistApplicants"][0]["queuePosition"] == 1


@pytest.mark.parametrize("order", ["fifo", "score"])
async def test_both_lists_are_in_order_whole_and_page_by_page(
    db: Connection, views: Views, order: str
) -> None:
    it = await opening(db, order=order, capacity=40)
    await it.live(100, 1.0)
    await it.live(150, 0.3)
    held = sorted(it.memory.held(), key=lambda p: (p.promoted_at or p.since, p.applied_sequence))
    expected = ([p.id for p in held], [p.id for p in it.memory.line()])
    whole = await views.job(1)
    assert (ids(whole.view.active_applicants), ids(whole.view.waitlist_applicants)) == expected
    assert whole.next is None
    active: list[int] = []
    waiting: list[int] = []
    positions: list[int | None] = []
    after = None
    while True:
        page = await views.job(1, limit=7, after=after)
        active += ids(page.view.active_applicants)
        waiting += ids(page.view.waitlist_applicants)
        positions += [one.queue_position for one in page.view.waitlist_applicants]
        if (after := page.next) is None:
            break
    assert (active, waiting) == expected
    assert positions == list(range(1, len(waiting) + 1))
    queue = (await views.queue(1)).view
    assert ids(queue.waitlist_entries) == expected[1]
    assert [e.penalty_count for e in queue.waitlist_entries] == [p.misses for p in it.memory.line()]


async def test_a_status_has_every_application_oldest_first(db: Connection, views: Views) -> None:
    lines = [await opening(db, number, capacity=number) for number in (1, 2)]
    for it in lines:
        for applicant in (8, 9):
            it.memory.apply(applicant)
            it.memory.clock += dt.timedelta(seconds=3)
    lines[0].memory.decide(Withdraw(PERSON, lines[0].memory.named(9)))
    lines[0].memory.apply(9)
    for it in lines:
        await it.write()
    status = await views.status(9)
    assert [(a.job_id, a.status, a.queue_position) for a in status.applications] == [
        (1, "INACTIVE", None), (2, "ACTIVE", None), (1, "WAITLIST", 1),
    ]  # fmt: skip
    now = await db.fetchval("SELECT clock_timestamp()")
    since = lines[0].memory.named(9).since
    told = status.applications[2].time_in_current_state_seconds
    assert 0 <= (now - since).total_seconds() - told < 10
    assert (await views.applicant(9)).email == "9@example.org"
    with pytest.raises(NotFoundError):
        await views.status(10)


async def test_the_time_in_a_state_is_never_negative(db: Connection, views: Views) -> None:
    it = await opening(db)
    it.memory.clock = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    it.memory.apply(9)
    await it.write()
    assert (await views.status(9)).applications[0].time_in_current_state_seconds == 0


async def test_a_timeline_is_the_events_of_all_applications(db: Connection, views: Views) -> None:
    lines = [await opening(db, number, capacity=1) for number in (1, 2)]
    for it in lines:
        for applicant in (8, 9):
            it.memory.apply(applicant)
        it.memory.decide(Withdraw(PERSON, it.memory.named(8)))
        it.memory.decide(Acknowledge(PERSON, it.memory.named(9)))
        await it.write()
    listed = await views.timeline(9)
    assert sorted(e.event_type for e in listed.items) == sorted(
        ["APPLIED", "PROMOTED", "ACKNOWLEDGED"] * 2
    )
    times = [event.created_at for event in listed.items]
    assert times == sorted(times)
    assert (listed.total, listed.next) == (6, None)
    newest = await views.timeline(9, limit=4)
    assert newest.items == listed.items[2:]
    rest = await views.timeline(9, limit=4, after=newest.next)
    assert (rest.items, rest.total, rest.next) == (listed.items[:2], 6, None)
    await db.execute("INSERT INTO applicants (name, email, email_key) VALUES ('a', 'b', 'c')")
    lonely = await db.fetchval("SELECT id FROM applicants WHERE email_key = 'c'")
    assert (await views.timeline(lonely)).items == []


def averages(memory: Memory) -> tuple[float | None, float | None]:
    """What the contract says, told from the events one by one."""
    applied: dict[int, dt.datetime] = {}
    first: dict[int, dt.datetime] = {}
    last: dict[int, dt.datetime] = {}
    acknowledged = []
    for event in memory.events:
        placement_id = event.placement_id or 0
        match event.type:
            case "APPLIED":
                applied[placement_id] = event.at
            case "PROMOTED":
                first.setdefault(placement_id, event.at)
                last[placement_id] = event.at
            case "ACKNOWLEDGED":
                acknowledged.append((event.at - last[placement_id]).total_seconds())
            case _:
                pass
    waited = [(at - applied[one]).total_seconds() for one, at in first.items()]
    return (
        sum(waited) / len(waited) if waited else None,
        sum(acknowledged) / len(acknowledged) if acknowledged else None,
    )


@pytest.mark.parametrize("with_heads", [True, False])
async def test_a_summary_is_what_the_events_add_up_to(
    db: Connection, views: Views, monkeypatch: pytest.MonkeyPatch, *, with_heads: bool
) -> None:
    monkeypatch.setattr(heads, "EVERY", 40)
    it = await opening(db, capacity=10)
    assert (await views.summary(1)).avg_time_to_promotion_seconds is None
    await it.live(60, 1.0)
    await it.live(200, 0.3)
    while with_heads and await heads.write_next(db, it.memory.id):
        pass
    summary = await views.summary(1)
    kinds = [event.type for event in it.memory.events]
    promotion, acknowledgement = averages(it.memory)
    assert summary.avg_time_to_promotion_seconds == pytest.approx(promotion, abs=0.002)
    assert summary.avg_acknowledgment_time_seconds == pytest.approx(acknowledgement, abs=0.002)
    assert summary.decay_events == kinds.count("DECAY_TRIGGERED") > 0
    assert summary.total_applications == len(it.memory.placements)
    assert summary.inactive_count == sum(
        p.status == "INACTIVE" for p in it.memory.placements.values()
    )


def by_score(placement: Placement) -> tuple[bool, float, int]:
    return placement.score is None, -(placement.score or 0), placement.id


async def test_a_companys_list_is_filtered_sorted_and_counted(db: Connection, views: Views) -> None:
    it = await opening(db, order="score", capacity=10)
    await it.live(80, 1.0)
    await it.live(120, 0.3)
    everyone = list(it.memory.placements.values())
    page = await views.entries(1, sort="score")
    assert ids(page.entries) == [p.id for p in sorted(everyone, key=by_score)]
    assert page.total == len(everyone)
    waiting = await views.entries(1, statuses=["WAITLIST"])
    assert ids(waiting.entries) == [p.id for p in it.memory.line()]
    assert [e.queue_position for e in waiting.entries] == list(range(1, waiting.total + 1))
    good = await views.entries(1, min_score=50)
    assert set(ids(good.entries)) == {p.id for p in everyone if (p.score or 0) >= 50}
    named = await views.entries(1, search="APPLICANT 7")
    assert {e.applicant_id for e in named.entries} == {
        p.applicant_id for p in everyone if str(p.applicant_id).startswith("7")
    }
    assert (await views.entries(1, search="%")).total == 0


@pytest.mark.parametrize("sort", ["position", "appliedAt", "score", "name"])
async def test_a_companys_list_goes_on_where_it_stopped(
    db: Connection, views: Views, sort: Any
) -> None:
    it = await opening(db, order="score", capacity=5)
    await it.live(60, 0.8)
    whole = await views.entries(1, sort=sort)
    found: list[int] = []
    after = None
    while True:
        page = await views.entries(1, sort=sort, limit=7, after=after)
        found += ids(page.entries)
        assert page.total == whole.total
        if (after := page.next) is None:
            break
        with pytest.raises(InvalidError):
            await views.entries(1, sort="name" if sort == "score" else "score", after=after)
    assert found == ids(whole.entries)
    assert len(set(found)) == whole.total


async def test_why_counts_who_is_ahead_for_which_reason(db: Connection, views: Views) -> None:
    it = await opening(db, order="score")
    memory = it.memory
    for applicant in range(1, 9):
        memory.apply(applicant)
    for applicant, score in ((2, 90.0), (3, 10.0), (4, 80.0), (5, 10.0)):
        memory.decide(Score(COMPANY, memory.named(applicant), "s", score))
    head = memory.line()[0].key
    memory.decide(
        CompanyAct(COMPANY, "1", "move", (memory.named(8),), "d", previous=None, following=head)
    )
    await it.write()
    detail = await views.application(memory.named(5).id)
    assert [p.applicant_id for p in memory.line()] == [8, 2, 4, 3, 5, 6, 7]
    assert (detail.ahead, detail.queue_position, detail.score) == (4, 5, 10.0)
    (why,) = detail.why
    assert why == (
        "4 ahead: 2 have a better score, 1 joined the line earlier,"
        " 1 was moved up by the company on 4 May 2026."
    )
    assert [e.event_type for e in detail.timeline] == ["APPLIED", "SCORED"]
    assert (await views.application(memory.named(8).id)).why[0] == "You are next in line."
    holder = await views.application(memory.named(1).id)
    assert (holder.ahead, holder.why) == (None, [])


async def test_why_counts_those_with_fewer_misses(db: Connection, views: Views) -> None:
    it = await opening(db, order="score")
    memory = it.memory
    for applicant in (1, 2, 3, 4):
        memory.apply(applicant)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    memory.clock += dt.timedelta(seconds=61)
    memory.settle()
    await it.write()
    detail = await views.application(memory.named(2).id)
    assert detail.why[0] == "1 ahead: 1 missed fewer offers."
    assert "missed the deadline" in detail.why[1]
    assert detail.penalty_count == 1


async def test_a_company_is_told_why_the_line_stands(db: Connection, views: Views) -> None:
    it = await opening(db)
    for applicant in (1, 2):
        it.memory.apply(applicant)
    await it.write()
    assert await views.why(1) == ["Full: 1 of 1 places are held."]
    assert (await views.entries(1)).why == await views.why(1)


async def test_an_erased_applicant_has_no_name_and_is_not_found(
    db: Connection, views: Views
) -> None:
    it = await opening(db)
    await it.live(3, 1.0)
    await db.execute(
        "UPDATE applicants SET name = NULL, email = NULL, email_key = NULL, erased_at = now()"
        " WHERE id = 2"
    )
    entry = (await views.job(1)).view.waitlist_applicants[0]
    assert (entry.applicant_name, entry.applicant_email) == ("(erased)", None)
    assert (await views.replay(1)).view.waitlist_applicants[0].applicant_name == "(erased)"
    for read in (views.applicant, views.status, views.timeline, views.everything_about):
        with pytest.raises(NotFoundError):
            await read(2)
    listed = await views.applicants()
    assert [a.id for a in listed.items] == [1, 3]
    assert listed.total == 2


async def test_a_score_has_its_reasons_as_long_as_the_placement(
    db: Connection, views: Views
) -> None:
    it = await opening(db)
    await it.live(1, 1.0)
    placement = it.memory.named(1)
    assert (await views.application(placement.id)).score_reasons is None
    await db.execute(
        "INSERT INTO placement_scores (application_id, placement_id, opening_id, status, score,"
        " reason, detail, finished_at)"
        " VALUES (gen_random_uuid(), $1, 1, 'scored', 71, 'good', '{\"a\": 1}', $2)",
        placement.id,
        START,
    )
    reasons = (await views.application(placement.id)).score_reasons
    assert reasons is not None
    assert (reasons.score, reasons.reason, reasons.detail) == (71, "good", {"a": 1})
    everything = await views.everything_about(1)
    assert ids(list(everything.applications)) == [placement.id]


async def test_streams_go_on_behind_an_event(db: Connection, views: Views) -> None:
    it = await opening(db)
    await it.live(5, 1.0)
    events = await views.events(opening_id=1)
    assert [e.sequence for e in events] == [1, 2, 3, 4, 5, 6]
    assert (events[0].event_type, events[0].application_id) == ("OPENED", None)
    assert await views.events(opening_id=1, after=4, limit=1) == events[4:5]
    assert await views.events(opening_id=7) == []
    (own,) = await views.events(applicant_id=3)
    assert own == events[3]
    assert await views.events(applicant_id=3, after=own.id) == []
