"""A process that was stopped past a client's deadline tells what Postgres did meanwhile.

It finds the time over, and the answer unread in its socket. Every place that commits for a client
has a row: scoring's accepts, and each act of hiring.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from uuid_utils.compat import uuid7

from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import ApplicantId, OpeningId, PlacementId
from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId, NewApplication
from shortlist.hiring.acts import Acts
from shortlist.hiring.by import By
from shortlist.hiring.requests import ActionRequest, NewOpening
from shortlist.http.budget import Budget
from shortlist.ingest.group_commit import GroupCommit
from shortlist.storage import postgres
from shortlist.storage.unavailable import DatabaseUnavailableError
from testkit.faults.held_commits import holding
from testkit.faults.unguarding import without
from testkit.hiring.memory import COMPANY, PERSON
from testkit.hiring.stored.acts import acts_on

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.storage.postgres import Connection

pytestmark = pytest.mark.slow

TIMEOUT_SECONDS = 4.0

_TABLES = ("applications", "applicants", "opening_events")
"""Whatever is committed for a client writes to one of them."""

_STATE = """
SELECT (SELECT count(*) FROM applications), (SELECT count(*) FROM opening_events),
       (SELECT count(*) FROM applicants), (SELECT count(*) FROM applicants WHERE name IS NULL)
"""

COMPANYS, PERSONS = By(COMPANY), By(PERSON)


@dataclass(frozen=True)
class Scene:
    """An opening with one place: Ada holds it, Bob waits, Cleo was removed, Fay never applied."""

    acts: Acts
    commits: GroupCommit
    opening: OpeningId
    ada: PlacementId
    adas_id: ApplicantId
    bob: PlacementId
    removal: int
    fay: ApplicantId

    def by_hand(self, action: Any, *placements: PlacementId) -> Awaitable[Any]:
        request = ActionRequest(action, placements, None, "a reason")
        return self.acts.act(self.opening, request, COMPANYS)


def new() -> NewApplication:
    return NewApplication(ApplicationId(uuid7()), DEFAULT_PIPELINE, "Ada", "a text")


PLACES: dict[str, Callable[[Scene], Awaitable[Any]]] = {
    "accept": lambda scene: scene.commits.accept(new()),
    "open": lambda scene: scene.acts.open(NewOpening("Cook", Rules(1)), COMPANYS),
    "register": lambda scene: scene.acts.register("Dan", "dan@example.org", COMPANYS),
    "change": lambda scene: scene.acts.change(scene.opening, {"capacity": 2}, COMPANYS),
    "change_state": lambda scene: scene.acts.change_state(scene.opening, "close", COMPANYS),
    "apply": lambda scene: scene.acts.apply(scene.fay, scene.opening, PERSONS, new()),
    "apply_publicly": lambda scene: scene.acts.apply_publicly(
        "Eve", "eve@example.org", scene.opening, PERSONS
    ),
    "withdraw": lambda scene: scene.acts.withdraw(scene.bob, PERSONS),
    "acknowledge": lambda scene: scene.acts.acknowledge(scene.bob, PERSONS),
    "act": lambda scene: scene.by_hand("remove", scene.bob),
    "undo": lambda scene: scene.acts.undo(scene.removal, COMPANYS),
    "erase": lambda scene: scene.acts.erase(scene.adas_id, COMPANYS),
}

ONE_OF_EACH = ("accept", "apply", "open")
"""Places of the three callers of `storage.outcome`."""


def test_every_act_has_a_row() -> None:
    acts = {name for name, _ in inspect.getmembers(Acts, inspect.iscoroutinefunction)}
    assert PLACES.keys() - {"accept"} == {name for name in acts if name[0] != "_"} - {"finish"}


async def a_scene(acts: Acts, commits: GroupCommit, place: str) -> Scene:
    opening = OpeningId((await acts.open(NewOpening("Baker", Rules(1)), COMPANYS)).id)
    ada, bob, cleo = [
        await acts.apply_publicly(name, f"{name}@example.org", opening, PERSONS)
        for name in ("ada", "bob", "cleo")
    ]
    fay = await acts.register("Fay", "fay@example.org", COMPANYS)
    request = ActionRequest("remove", (PlacementId(cleo.application_id),), None, "a reason")
    removed = await acts.act(opening, request, COMPANYS)
    assert removed.action_id is not None
    if place == "acknowledge":
        await acts.withdraw(PlacementId(ada.application_id), PERSONS)  # so Bob has an offer
    return Scene(
        acts, commits, opening, PlacementId(ada.application_id), ApplicantId(ada.applicant_id),
        PlacementId(bob.application_id), removed.action_id, ApplicantId(fay.id),
    )  # fmt: skip


class Holder(threading.Thread):
    """Holds commits from a thread of its own, which goes on while the event loop stands."""

    def __init__(self, owner_url: str) -> None:
        super().__init__(daemon=True)
        self.holds, self.has_one, self.go = (threading.Event() for _ in range(3))
        self._owner_url = owner_url

    def run(self) -> None:
        asyncio.run(self._hold())

    async def _hold(self) -> None:
        connection = await postgres.connect(self._owner_url, application_name="holder")
        async with holding(connection, *_TABLES) as held:
            self.holds.set()
            await held.until_one_is_there()
            self.has_one.set()
            self.go.wait()
        await connection.close()


async def stopped_while_its_answer_comes(db: Connection, database_url: str, place: str) -> None:
    """Stop past the deadline of one call, while Postgres commits it; what it is told is true."""
    acts, database = acts_on(database_url, timeout_seconds=TIMEOUT_SECONDS)
    commits = GroupCommit(
        database, Budget(1 << 20), flushers=1, timeout_seconds=TIMEOUT_SECONDS, backlog=9,
        on_accepted=lambda _: None,
    )  # fmt: skip
    scene = await a_scene(acts, commits, place)
    before = await db.fetchrow(_STATE)
    holder = Holder(database_url)
    holder.start()
    await asyncio.to_thread(holder.holds.wait)
    asking = asyncio.ensure_future(PLACES[place](scene))
    await asyncio.to_thread(holder.has_one.wait)
    over_at = time.monotonic() + TIMEOUT_SECONDS
    holder.go.set()
    holder.join()  # the event loop stands, as that of a stopped process does, …
    time.sleep(over_at - time.monotonic())  # noqa: ASYNC251 (… until the deadline has passed)
    try:
        await asking
    except DatabaseUnavailableError:
        told = "nothing has changed"
    else:
        told = "done"
    await database.close()
    changed = await db.fetchrow(_STATE) != before
    assert (told, changed) == ("done", True), f"told: {told}, changed: {changed}"


@pytest.mark.parametrize("place", PLACES)
async def test_an_answer_that_came_while_the_process_was_stopped_counts(
    db: Connection, database_url: str, place: str
) -> None:
    await stopped_while_its_answer_comes(db, database_url, place)


@pytest.mark.parametrize("place", ONE_OF_EACH)
async def test_off_switch_without_a_look_it_is_done_and_was_answered_503(
    db: Connection, database_url: str, place: str
) -> None:
    told = "told: nothing has changed, changed: True"
    with without("answers_are_looked_for"), pytest.raises(AssertionError, match=told):
        await stopped_while_its_answer_comes(db, database_url, place)
