"""Acts on real Postgres; after each test all that must hold is checked on the rows."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from uuid_utils.compat import uuid7

from shortlist.domain.hiring.audit import Actor
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import ApplicantId, OpeningId, PlacementId
from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId, NewApplication
from shortlist.hiring.acts import ActionRequest, Acts, NewOpening
from shortlist.hiring.by import By, Once
from shortlist.hiring.errors import (
    ConflictError,
    GoneError,
    InvalidError,
    KeyReusedError,
    NotFoundError,
)
from shortlist.hiring.settlement import ArrivedScore, settle
from shortlist.hiring.transactions import SESSION
from shortlist.storage.postgres.database import Database
from testkit.hiring.postgres import check

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shortlist.hiring.views import Result
    from shortlist.storage.postgres import Connection

BY = By(Actor("key", "42"))


class Shop:
    """Acts as a process has them, and what they told after their commits."""

    def __init__(self, database_url: str) -> None:
        self.database = Database(
            database_url, name="acts", connections=2, timeout_seconds=20, settings=SESSION
        )
        self.submitted: list[NewApplication] = []
        self.committed: dict[OpeningId, int] = {}
        self.acts = Acts(
            self.database,
            on_submitted=self.submitted.extend,
            on_committed=self.committed.update,
        )

    async def open(self, capacity: int = 1, **rules: Any) -> OpeningId:
        job = await self.acts.open(NewOpening("Baker", Rules(capacity, **rules)), BY)
        return OpeningId(job.id)

    async def apply(self, opening: OpeningId, *names: str, **more: Any) -> list[Result]:
        """By address, all at once: in this order."""
        asked = (
            self.acts.apply_publicly(name, f"{name}@example.org", opening, BY, **more)
            for name in names
        )
        return await asyncio.gather(*asked)

    async def by_hand(self, opening: OpeningId, action: Any, *ids: int, **more: Any) -> Any:
        request = {"position": None, "reason": "because", **more}
        named = tuple(map(PlacementId, ids))
        return await self.acts.act(opening, ActionRequest(action, named, **request), BY)


@pytest.fixture
async def shop(database_url: str, db: Connection) -> AsyncIterator[Shop]:
    shop = Shop(database_url)
    yield shop
    await shop.acts.finish()
    await shop.database.close()
    await check(db)


async def settle_now(db: Connection, opening: OpeningId, *scores: ArrivedScore) -> None:
    async with db.transaction():
        done = await settle(db, [opening], {opening: scores} if scores else None)
    assert not done.again
    assert not done.left


async def end_offers(db: Connection) -> None:
    """Have all offers end, as if their windows had been short: the audit tells what they were."""
    await asyncio.sleep(1.01)  # the shortest window is a second, by Postgres's clock
    assert await db.fetchval("SELECT count(*) FROM placements WHERE deadline < clock_timestamp()")


async def test_a_free_place_is_given_and_the_others_wait_in_order(shop: Shop) -> None:
    opening = await shop.open(2)
    results = await shop.apply(opening, "a", "b", "c", "d")
    assert [(r.status, r.queue_position) for r in results] == [
        ("ACTIVE", None), ("ACTIVE", None), ("WAITLIST", 1), ("WAITLIST", 2),
    ]  # fmt: skip
    assert results[3].message == "You are number 2 in line."
    assert shop.committed[opening] == 5


async def test_who_leaves_makes_room_for_the_next_who_acknowledges(shop: Shop) -> None:
    opening = await shop.open(1)
    first, second, third = await shop.apply(opening, "a", "b", "c")
    left = await shop.acts.withdraw(PlacementId(first.application_id), BY)
    assert (left.status, left.queue_position) == ("INACTIVE", None)
    with pytest.raises(ConflictError):
        await shop.acts.withdraw(PlacementId(first.application_id), BY)
    taken = await shop.acts.acknowledge(PlacementId(second.application_id), BY)
    assert taken.status == "ACTIVE"
    with pytest.raises(ConflictError, match="no offer"):
        await shop.acts.acknowledge(PlacementId(third.application_id), BY)


async def test_what_is_not_there_is_told_in_the_order_of_the_checks(shop: Shop) -> None:
    opening = await shop.open()
    applicant = await shop.acts.register("Ada", "ada@example.org", BY)
    nowhere, nobody_there = OpeningId(10**18), ApplicantId(10**18)
    for who, where, what in (
        (nobody_there, nowhere, "applicant"),
        (nobody_there, opening, "applicant"),
        (ApplicantId(applicant.id), nowhere, "job"),
    ):
        with pytest.raises(NotFoundError) as told:
            await shop.acts.apply(who, where, BY)
        assert told.value.what == what
    with pytest.raises(NotFoundError, match="application"):
        await shop.acts.withdraw(PlacementId(10**18), BY)
    with pytest.raises(NotFoundError, match="job"):
        await shop.acts.change(nowhere, {"capacity": 2}, BY)


async def test_a_refused_person_is_not_made(shop: Shop, db: Connection) -> None:
    opening = await shop.open()
    await shop.acts.change_state(opening, "close", BY)
    with pytest.raises(ConflictError):
        await shop.apply(opening, "a")
    with pytest.raises(NotFoundError):
        await shop.apply(OpeningId(10**18), "a")
    assert await db.fetchval("SELECT count(*) FROM applicants") == 0


async def test_one_person_has_one_address_however_it_is_written(shop: Shop) -> None:
    opening = await shop.open()
    ada = await shop.acts.register("Ada", "Ada@Bücher.example", BY)
    with pytest.raises(ConflictError) as taken:
        await shop.acts.register("Eve", " ada@xn--bcher-kva.EXAMPLE ", BY)
    assert taken.value.code == "CONFLICT"
    result = await shop.acts.apply_publicly("Eve", "ADA@bücher.example", opening, BY)
    assert result.applicant_id == ada.id
    with pytest.raises(ConflictError) as twice:
        await shop.acts.apply(ApplicantId(ada.id), opening, BY)
    assert twice.value.code == "DUPLICATE_SUBMISSION"


async def test_of_two_names_for_one_address_the_first_is_kept(shop: Shop, db: Connection) -> None:
    opening, other = await shop.open(), await shop.open()
    await asyncio.gather(
        shop.acts.apply_publicly("Ada", "a@example.org", opening, BY),
        shop.acts.apply_publicly("Ada again", "A@example.org", other, BY),
    )
    assert await db.fetchval("SELECT array_agg(name) FROM applicants") == ["Ada"]


async def test_many_at_once_are_placed_together_and_each_has_an_answer(
    shop: Shop, db: Connection
) -> None:
    openings = [await shop.open(3) for _ in range(70)]
    people = [f"p{n}" for n in range(10)]
    results = await asyncio.gather(*(shop.apply(opening, *people) for opening in openings))
    for mine in results:
        assert [r.status for r in mine] == ["ACTIVE"] * 3 + ["WAITLIST"] * 7
        assert [r.queue_position for r in mine[3:]] == list(range(1, 8))
    assert await db.fetchval("SELECT count(*) FROM applicants") == 10


async def test_a_missed_offer_goes_to_the_next_and_a_late_acknowledgement_is_gone(
    shop: Shop, db: Connection
) -> None:
    opening = await shop.open(1, ack_window_seconds=1)
    first, second, _ = await shop.apply(opening, "a", "b", "c")
    await shop.acts.withdraw(PlacementId(first.application_id), BY)
    await end_offers(db)
    with pytest.raises(GoneError):
        await shop.acts.acknowledge(PlacementId(second.application_id), BY)
    statuses = await db.fetch("SELECT status::text, misses FROM placements ORDER BY id")
    assert [tuple(row) for row in statuses] == [("i", 0), ("w", 1), ("p", 0)]


async def test_the_leader_settles_what_no_act_does(shop: Shop, db: Connection) -> None:
    opening = await shop.open(1, ack_window_seconds=1, confirm="everyone")
    await shop.apply(opening, "a", "b")
    await end_offers(db)
    await settle_now(db, opening)
    statuses = await db.fetch("SELECT status::text, misses FROM placements ORDER BY id")
    assert [tuple(row) for row in statuses] == [("w", 1), ("p", 0)]


async def test_a_score_orders_the_line(shop: Shop, db: Connection) -> None:
    opening = await shop.open(1, order="score")
    payload = NewApplication(ApplicationId(uuid7()), DEFAULT_PIPELINE, None, "text")
    _, second, third = await shop.apply(opening, "a", "b", "c")
    (fourth,) = await shop.apply(opening, "d", scoring=payload)
    assert fourth.scoring_id == str(payload.id)
    assert [new.id for new in shop.submitted] == [payload.id]
    assert await db.fetchval("SELECT payload FROM applications WHERE id = $1", payload.id) == "text"
    scored = ArrivedScore(PlacementId(fourth.application_id), str(payload.id), 91.5)
    await settle_now(db, opening, scored)
    line = await db.fetch("SELECT id FROM placements WHERE status = 'w' ORDER BY key")
    assert [row["id"] for row in line] == [
        fourth.application_id, second.application_id, third.application_id,
    ]  # fmt: skip
    (fifth,) = await shop.apply(opening, "e")
    assert fifth.queue_position == 4


async def test_a_refused_payload_is_not_scored(shop: Shop, db: Connection) -> None:
    opening = await shop.open()
    payload = NewApplication(ApplicationId(uuid7()), DEFAULT_PIPELINE, None, "text")
    await shop.apply(opening, "a")
    with pytest.raises(ConflictError):
        await shop.apply(opening, "a", scoring=payload)
    assert await db.fetchval("SELECT count(*) FROM applications") == 0
    assert shop.submitted == []


async def test_rules_are_changed_by_those_who_saw_them(shop: Shop) -> None:
    opening = await shop.open(1)
    await shop.apply(opening, "a", "b", "c")
    changed = await shop.acts.change(opening, {"capacity": 2, "title": "Cook"}, BY, version=1)
    assert (changed.title, changed.capacity, changed.active_count, changed.version) == (
        "Cook", 2, 2, 2,
    )  # fmt: skip
    with pytest.raises(ConflictError, match="changed in the meantime"):
        await shop.acts.change(opening, {"title": "Miller"}, BY, version=1)
    with pytest.raises(InvalidError) as wrong:
        await shop.acts.change(opening, {"capacity": 0}, BY)
    assert [problem.field for problem in wrong.value.problems] == ["capacity"]
    again = await shop.acts.change(opening, {}, BY)
    assert again == changed


async def test_a_great_raise_goes_in_steps_of_which_each_fills(shop: Shop, db: Connection) -> None:
    opening = await shop.open(1)
    await shop.apply(opening, *(f"p{n}" for n in range(501)))
    changed = await shop.acts.change(opening, {"capacity": 450, "title": "Many"}, BY, version=1)
    assert (changed.capacity, changed.active_count, changed.waitlist_count) == (450, 450, 51)
    assert changed.title == "Many"
    assert await db.fetchval("SELECT due_at FROM openings") is None


async def test_an_ended_opening_sends_all_home_but_the_active(shop: Shop) -> None:
    opening = await shop.open(1)
    await shop.apply(opening, *(f"p{n}" for n in range(450)))
    ended = await shop.acts.change_state(opening, "end", BY, "filled")
    assert (ended.state, ended.active_count, ended.waitlist_count) == ("ended", 1, 0)
    with pytest.raises(ConflictError):
        await shop.acts.change_state(opening, "reopen", BY)


async def test_time_closes_an_opening_and_starts_its_filling(shop: Shop, db: Connection) -> None:
    now = await db.fetchval("SELECT clock_timestamp()")
    soon = now + dt.timedelta(seconds=1)
    opening = await shop.open(1, fill_from=soon, closes_at=soon)
    (waits,) = await shop.apply(opening, "a")
    assert waits.queue_position == 1
    due_at = await db.fetchval("SELECT due_at FROM openings")
    assert due_at == soon.replace(microsecond=soon.microsecond // 1000 * 1000)
    await asyncio.sleep(1.01)
    await settle_now(db, opening)
    row = await db.fetchrow("SELECT state, due_at FROM openings")
    assert tuple(row) == ("closed", None)
    assert await db.fetchval("SELECT status::text FROM placements") == "p"


async def test_what_a_company_does_by_hand_can_be_undone(shop: Shop) -> None:
    opening = await shop.open(1)
    a, b, c, d = (r.application_id for r in await shop.apply(opening, "a", "b", "c", "d"))
    moved = await shop.by_hand(opening, "move", d, position=1)
    assert [(r.outcome, r.queue_position) for r in moved.results] == [("moved", 1)]
    removed = await shop.by_hand(opening, "remove", a, c)
    assert [r.outcome for r in removed.results] == ["removed", "removed"]
    assert [r.application_id for r in removed.promoted] == [d]
    undone = await shop.acts.undo(removed.action_id, BY)
    assert [(r.outcome, r.status, r.queue_position) for r in undone.results] == [
        ("undone", "WAITLIST", 1),
        ("undone", "WAITLIST", 3),
    ]
    again = await shop.acts.undo(removed.action_id, BY)
    assert [r.outcome for r in again.results] == ["changed_since", "changed_since"]
    last = await shop.by_hand(opening, "move", a, position=99)
    assert [(r.outcome, r.queue_position) for r in last.results] == [("moved", 3)]
    assert b != c


@pytest.mark.parametrize("position", [1, 2, 3, 4])
async def test_a_move_is_to_a_position_among_those_who_are_not_moved(
    shop: Shop, db: Connection, position: int
) -> None:
    opening = await shop.open(1)
    _, *line = (r.application_id for r in await shop.apply(opening, *"abcdef"))
    await shop.by_hand(opening, "move", line[4], line[0], position=position)
    rest = [line[1], line[2], line[3]]
    expected = [*rest[: position - 1], line[4], line[0], *rest[position - 1 :]]
    found = await db.fetch("SELECT id FROM placements WHERE status = 'w' ORDER BY key")
    assert [row["id"] for row in found] == expected


async def test_a_dry_run_says_what_would_happen_and_changes_nothing(
    shop: Shop, db: Connection
) -> None:
    opening = await shop.open(1)
    a, b = (r.application_id for r in await shop.apply(opening, "a", "b"))
    events = await db.fetchval("SELECT count(*) FROM opening_events")
    told = await shop.by_hand(opening, "remove", a, dry_run=True)
    assert (told.action_id, told.undo_until) == (None, None)
    assert [r.application_id for r in told.promoted] == [b]
    assert await db.fetchval("SELECT count(*) FROM opening_events") == events
    assert await db.fetchval("SELECT count(*) FROM hiring_actions") == 0


async def test_an_unknown_application_refuses_the_whole_act(shop: Shop) -> None:
    opening, other = await shop.open(), await shop.open()
    (a,) = await shop.apply(opening, "a")
    for wrong in (10**18, (await shop.apply(other, "a"))[0].application_id):
        with pytest.raises(NotFoundError, match="application"):
            await shop.by_hand(opening, "remove", a.application_id, wrong)
    with pytest.raises(NotFoundError, match="action"):
        await shop.acts.undo(10**18, BY)


def once(key: str, body: bytes = b"hash") -> By:
    return By(BY.actor, Once(key, "POST /apply", body))


async def test_the_same_key_does_nothing_a_second_time(shop: Shop, db: Connection) -> None:
    opening = await shop.open()
    ada = ApplicantId((await shop.acts.register("Ada", "ada@example.org", BY)).id)
    first = await shop.acts.apply(ada, opening, once("k"))
    together = [shop.acts.apply(ada, opening, once("k")) for _ in range(3)]
    assert await asyncio.gather(*together) == [first] * 3
    with pytest.raises(KeyReusedError):
        await shop.acts.apply(ada, opening, once("k", b"other"))
    assert await db.fetchval("SELECT count(*) FROM placements") == 1


async def test_a_key_that_comes_again_in_one_group_is_one_act(shop: Shop, db: Connection) -> None:
    opening = await shop.open()
    told = await asyncio.gather(
        *(shop.acts.apply_publicly("a", "a@example.org", opening, once("k")) for _ in range(5))
    )
    assert len({result.application_id for result in told}) == 1
    assert await db.fetchval("SELECT count(*) FROM placements") == 1


async def test_a_refused_act_gives_its_key_back(shop: Shop, db: Connection) -> None:
    opening = await shop.open()
    await shop.acts.change_state(opening, "close", BY)
    with pytest.raises(ConflictError):
        await shop.acts.apply_publicly("a", "a@example.org", opening, once("k"))
    assert await db.fetchval("SELECT count(*) FROM hiring_answers") == 0
    await shop.acts.change_state(opening, "reopen", BY)
    await shop.acts.apply_publicly("a", "a@example.org", opening, once("k"))


async def test_keys_of_openings_and_applicants_count_too(shop: Shop, db: Connection) -> None:
    new = NewOpening("Baker", Rules(1))
    assert await shop.acts.open(new, once("o")) == await shop.acts.open(new, once("o"))
    told = [await shop.acts.register("Ada", "ada@example.org", once("r")) for _ in range(2)]
    assert told[0] == told[1]
    kept = await db.fetchval("SELECT string_agg(answer, ' ') FROM hiring_answers")
    assert "Ada" not in kept


async def test_an_erased_applicant_leaves_no_name_and_frees_their_places(
    shop: Shop, db: Connection
) -> None:
    openings = [await shop.open(), await shop.open()]
    payload = NewApplication(ApplicationId(uuid7()), DEFAULT_PIPELINE, None, "my life")
    (first,) = await shop.apply(openings[0], "a", scoring=payload)
    await shop.apply(openings[1], "a")
    for opening in openings:
        await shop.apply(opening, "b")
    ada = ApplicantId(first.applicant_id)
    await shop.acts.erase(ada, BY)
    for act in (shop.acts.erase(ada, BY), shop.acts.apply(ada, openings[0], BY)):
        with pytest.raises(NotFoundError):
            await act
    assert await db.fetch("SELECT name, email FROM applicants WHERE email IS NULL") == [
        (None, None)
    ]
    assert await db.fetchval("SELECT payload FROM applications") == ""
    offered = await db.fetchval("SELECT count(*) FROM placements WHERE status = 'p'")
    assert offered == 2
    (again,) = await shop.apply(openings[0], "a")
    assert again.applicant_id != ada


async def test_a_line_of_thousands_keeps_its_fences(shop: Shop, db: Connection) -> None:
    opening = await shop.open(1, order="score")
    results = await shop.apply(opening, *(f"p{n}" for n in range(1500)))
    scores = [
        ArrivedScore(PlacementId(r.application_id), str(uuid7()), float(n * 37 % 100))
        for n, r in enumerate(results)
    ]
    for start in range(0, 1500, 300):
        await settle_now(db, opening, *scores[start : start + 300])
    await asyncio.gather(
        *(shop.acts.withdraw(PlacementId(r.application_id), BY) for r in results[::7])
    )
    assert await db.fetchval("SELECT count(*) FROM line_fences") > 5
