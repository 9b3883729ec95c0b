"""What is asked together is answered apart: each gets its own answer, whatever shares its group."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import OpeningId, PlacementId
from shortlist.hiring.by import By
from shortlist.hiring.requests import ActionRequest, NewOpening
from testkit.hiring import postgres
from testkit.hiring.memory import COMPANY, PERSON
from testkit.hiring.stored.acts import acts_on

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection


async def test_a_company_s_act_among_others_has_its_own_answer_and_so_have_they(
    db: Connection, database_url: str
) -> None:
    acts, database = acts_on(database_url)
    opening = OpeningId((await acts.open(NewOpening("Baker", Rules(1)), By(COMPANY))).id)
    other = OpeningId((await acts.open(NewOpening("Cook", Rules(9)), By(COMPANY))).id)
    held = await acts.apply_publicly("Ada", "ada@example.org", opening, By(PERSON))
    remove = ActionRequest("remove", (PlacementId(held.application_id),), None, "by mistake")
    first, second, done, third, changed, fourth = await asyncio.gather(
        acts.apply_publicly("Bob", "bob@example.org", other, By(PERSON)),  # goes alone
        acts.apply_publicly("Cyd", "cyd@example.org", other, By(PERSON)),
        acts.act(opening, remove, By(COMPANY)),
        acts.apply_publicly("Dan", "dan@example.org", opening, By(PERSON)),
        acts.change(opening, {"capacity": 2}, By(COMPANY)),
        acts.apply_publicly("Eve", "eve@example.org", opening, By(PERSON)),
    )
    await database.close()
    people = {row["id"]: row["email"] for row in await db.fetch("SELECT id, email FROM applicants")}
    told = [people[result.applicant_id][:3] for result in (first, second, third, fourth)]
    assert told == ["bob", "cyd", "dan", "eve"]
    assert [outcome.outcome for outcome in done.results] == ["removed"]
    assert changed.capacity == 2
    assert len((await postgres.check(db, [opening]))[0].held()) == 2
