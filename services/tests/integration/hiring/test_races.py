"""Two act on one opening at once, with real connections; and what happens without each guard."""

from __future__ import annotations

import datetime as dt
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import ApplicantId, OpeningId, PlacementId
from shortlist.hiring.by import By
from shortlist.hiring.requests import ActionRequest, NewOpening
from shortlist.hiring.settlement import ArrivedScore
from shortlist.storage import postgres as connections
from testkit.faults.unguarding import without
from testkit.hiring import postgres, tables
from testkit.hiring.memory import COMPANY, PERSON, START, at
from testkit.hiring.stored.acts import acts_on, settled
from testkit.hiring.stored.clock import TestClock
from testkit.hiring.stored.race import FIRST, SECOND, Race

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from shortlist.hiring.acts import Acts
    from shortlist.storage.postgres import Connection
    from testkit.hiring.tables import OpeningTables

BY = By(PERSON)
COMPANY_BY = By(COMPANY)
WINDOW_SECONDS = 60


class Office:
    """Two processes' acts and leaders on one opening, and a clock that the test sets."""

    def __init__(
        self,
        db: Connection,
        clock: TestClock,
        race: Race,
        acts: tuple[Acts, Acts],
        leaders: tuple[Connection, Connection],
    ) -> None:
        self.db, self.clock, self.race = db, clock, race
        self.first, self.second = acts
        self.leaders = leaders
        self.id = OpeningId(0)
        self._named: dict[str, PlacementId] = {}
        self._applicants: dict[str, ApplicantId] = {}

    async def opens(self, capacity: int = 1, **rules: Any) -> None:
        """One opening; windows are a minute."""
        new = NewOpening("Baker", Rules(capacity, ack_window_seconds=WINDOW_SECONDS, **rules))
        self.id = OpeningId((await self.second.open(new, COMPANY_BY)).id)

    async def apply(self, *names: str) -> None:
        """They apply, one after the other."""
        for name in names:
            result = await self.second.apply(await self.applicant(name), self.id, BY)
            self._named[name] = PlacementId(result.application_id)

    async def applicant(self, name: str) -> ApplicantId:
        if name not in self._applicants:
            made = await self.second.register(name, f"{name}@example.org", BY)
            self._applicants[name] = ApplicantId(made.id)
        return self._applicants[name]

    def __getitem__(self, name: str) -> PlacementId:
        """The placement of one who applied by `apply`."""
        return self._named[name]

    async def statuses(self) -> dict[str, str]:
        """How each stands who applied by `apply`."""
        rows = (await self.read()).placements
        return {name: rows[id_].status for name, id_ in self._named.items()}

    async def held(self) -> int:
        return len((await self.read()).held())

    async def read(self) -> OpeningTables:
        async with self.db.transaction():
            (found,) = await tables.read(self.db, [self.id])
        return found

    async def kinds(self) -> list[str]:
        """What happened, in order."""
        return [event.type for event in (await self.read()).events]


@pytest.fixture
async def office(db: Connection, database_url: str) -> AsyncIterator[Office]:
    async with AsyncExitStack() as open_things:
        clock = await TestClock.stand_in(db, START)
        race = await Race.prepare(db)
        acts, leaders = [], []
        for name in (FIRST, SECOND):
            made, database = acts_on(database_url, name=name)
            open_things.push_async_callback(database.close)
            acts.append(made)
            leader = await connections.connect(database_url, application_name=f"{name} leader")
            open_things.push_async_callback(leader.close)
            leaders.append(leader)
        yield Office(db, clock, race, (acts[0], acts[1]), (leaders[0], leaders[1]))


async def last_place_is_taken_once(office: Office) -> None:
    await office.opens()
    ada, bob = await office.applicant("ada"), await office.applicant("bob")
    one, other, _ = await office.race.run(
        office.first.apply(ada, office.id, BY), office.second.apply(bob, office.id, BY)
    )
    assert {one.status, other.status} == {"ACTIVE", "WAITLIST"}, "the last place was taken twice"


async def newcomer_never_passes_the_line(office: Office) -> None:
    await office.opens(fill_from=at(30))
    await office.apply("ada")
    await office.clock.set(at(31))
    bob = await office.applicant("bob")
    newcomer, _, _ = await office.race.run(
        office.first.apply(bob, office.id, BY), settled(office.leaders[1], office.id)
    )
    assert newcomer.status == "WAITLIST", "a newcomer passed the line"
    assert await office.statuses() == {"ada": "PENDING_ACKNOWLEDGMENT"}


async def acknowledge_against_decay_has_one_winner(office: Office) -> None:
    await office.opens(confirm="everyone")
    await office.apply("ada")
    last = at(WINDOW_SECONDS)
    await office.clock.set(last)
    async with office.race.held(office.first.acknowledge(office["ada"], BY)) as held:
        await office.clock.set(last + dt.timedelta(milliseconds=1))
        decay = await office.race.begun(settled(office.leaders[1], office.id))
    assert (await held).status == "ACTIVE"
    await decay
    ends = [k for k in await office.kinds() if k in {"ACKNOWLEDGED", "DECAY_TRIGGERED"}]
    assert ends == ["ACKNOWLEDGED"], "an offer has two ends"


async def two_promoters_promote_two_people(office: Office) -> None:
    await office.opens(capacity=2)
    await office.apply("ada", "bob", "cyd", "dan")
    await office.race.run(
        office.first.withdraw(office["ada"], BY), office.second.withdraw(office["bob"], BY)
    )
    statuses = await office.statuses()
    assert [statuses["cyd"], statuses["dan"]] == ["PENDING_ACKNOWLEDGMENT"] * 2, "one was passed"


async def double_apply_makes_one(office: Office) -> None:
    await office.opens(capacity=2)
    ada = await office.applicant("ada")
    one, other, _ = await office.race.run(
        office.first.apply(ada, office.id, BY), office.second.apply(ada, office.id, BY)
    )
    assert (one.status, other) == ("ACTIVE", "DUPLICATE_SUBMISSION"), "one person applied twice"


async def one_person_however_the_address_is_written(office: Office) -> None:
    await office.opens(capacity=2)
    one, other, _ = await office.race.run(
        office.first.apply_publicly("Ada", "Ada@Bücher.example", office.id, BY),
        office.second.apply_publicly("Ada", " ada@xn--bcher-kva.EXAMPLE", office.id, BY),
    )
    assert (one.status, other) == ("ACTIVE", "DUPLICATE_SUBMISSION"), "one person applied twice"
    assert await office.db.fetchval("SELECT count(*) FROM applicants") == 1


async def withdraw_against_promote_leaves_no_free_place(office: Office) -> None:
    await office.opens()
    await office.apply("ada", "bob", "cyd")
    await office.race.run(
        office.first.withdraw(office["bob"], BY), office.second.withdraw(office["ada"], BY)
    )
    statuses = await office.statuses()
    assert statuses["cyd"] == "PENDING_ACKNOWLEDGMENT", "a place is free beside one who waits"


async def capacity_lowered_in_mid_flight(office: Office) -> None:
    await office.opens(capacity=2)
    await office.apply("ada")
    bob = await office.applicant("bob")
    newcomer, _, lowered_after = await office.race.run(
        office.first.apply(bob, office.id, BY),
        office.second.change(office.id, {"capacity": 1}, COMPANY_BY),
    )
    is_in_order = lowered_after or newcomer.status == "WAITLIST"
    assert is_in_order, "a place was given after it had been taken away"


async def late_score_against_promotion(office: Office) -> None:
    await office.opens(order="score")
    await office.apply("ada", "bob")
    score = ArrivedScore(office["bob"], "s-1", 99.0)
    await office.race.run(
        settled(office.leaders[0], office.id, [score]), office.second.withdraw(office["ada"], BY)
    )
    bob = (await office.read()).placements[office["bob"]]
    assert (bob.status, bob.score) == ("PENDING_ACKNOWLEDGMENT", 99.0), "the promotion was lost"


async def undo_against_apply(office: Office) -> None:
    await office.opens()
    await office.apply("ada")
    request = ActionRequest("remove", (office["ada"],), None, "by mistake")
    action = (await office.second.act(office.id, request, COMPANY_BY)).action_id
    assert action is not None
    bob = await office.applicant("bob")
    await office.race.run(
        office.first.undo(action, COMPANY_BY), office.second.apply(bob, office.id, BY)
    )
    assert await office.held() == 1, "the place was given back and given away"


async def two_leaders_settle_once(office: Office) -> None:
    await office.opens(confirm="everyone")
    await office.apply("ada")
    await office.clock.set(at(WINDOW_SECONDS + 1))
    first, second = office.leaders
    await office.race.run(settled(first, office.id), settled(second, office.id))
    assert (await office.kinds()).count("DECAY_TRIGGERED") == 1, "one miss was counted twice"


async def a_failed_transaction_leaves_no_gap(office: Office) -> None:
    await office.opens()
    ada = await office.applicant("ada")
    async with office.race.held(office.first.apply(ada, office.id, BY)) as held:
        await office.race.end_the_first()
    await held
    await office.apply("bob")
    sequences = [event.sequence for event in (await office.read()).events]
    assert sequences == list(range(1, len(sequences) + 1)), "there is a gap"


async def an_erased_applicant_has_nothing_left(office: Office) -> None:
    await office.opens()
    ada = await office.applicant("ada")
    applied, erased, waited = await office.race.run(
        office.first.apply(ada, office.id, BY), office.second.erase(ada, BY)
    )
    assert waited, "an applicant was erased who was about to apply"
    assert applied.status == "ACTIVE"
    assert erased is None
    assert [p.status for p in (await office.read()).placements.values()] == ["INACTIVE"]


RACES: dict[Callable[[Office], Awaitable[None]], tuple[str, str]] = {
    last_place_is_taken_once: ("opening_lock", "the last place was taken twice"),
    newcomer_never_passes_the_line: ("settled_first", "a newcomer passed the line"),
    acknowledge_against_decay_has_one_winner: ("opening_lock", "an offer has two ends"),
    two_promoters_promote_two_people: ("opening_lock", "one was passed"),
    double_apply_makes_one: ("opening_lock", "one person applied twice"),
    one_person_however_the_address_is_written: ("one_address", "one person applied twice"),
    withdraw_against_promote_leaves_no_free_place: ("opening_lock", "a place is free"),
    capacity_lowered_in_mid_flight: ("opening_lock", "after it had been taken away"),
    late_score_against_promotion: ("opening_lock", "the promotion was lost"),
    undo_against_apply: ("opening_lock", "the place was given back and given away"),
    two_leaders_settle_once: ("opening_lock", "one miss was counted twice"),
    a_failed_transaction_leaves_no_gap: ("sequence_of_the_audit", "there is a gap"),
    an_erased_applicant_has_nothing_left: ("applicants_stay", "who was about to apply"),
}
"""Each race, its guard (`testkit.unguarded`), and what happens without it."""

_WITHOUT_WHAT_STANDS_BEHIND_THE_LOCK = """
ALTER TABLE opening_events DROP CONSTRAINT opening_events_pkey;
DROP INDEX placements_live;
"""
"""Unique keys would end one of the two transactions with an error; here it is seen what for."""


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
async def test_race(office: Office, race: Callable[[Office], Awaitable[None]]) -> None:
    await race(office)
    await postgres.check(office.db)


@pytest.mark.parametrize(
    "race", RACES, ids=lambda race: f"{race.__name__}_happens_without_its_guard"
)
async def test_off_switch(office: Office, race: Callable[[Office], Awaitable[None]]) -> None:
    await office.db.execute(_WITHOUT_WHAT_STANDS_BEHIND_THE_LOCK)
    guard, what_happens = RACES[race]
    with without(guard), pytest.raises(AssertionError, match=what_happens):
        await race(office)
