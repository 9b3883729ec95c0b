"""What becomes of acts when Postgres breaks off in the middle, or another holds their opening."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from uuid_utils.compat import uuid7

from shortlist.domain.hiring.audit import Actor
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import ApplicantId, OpeningId, PlacementId
from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId, NewApplication
from shortlist.hiring.acts import Acts, NewOpening
from shortlist.hiring.by import By
from shortlist.hiring.errors import ConflictError
from shortlist.hiring.transactions import SESSION, group
from shortlist.hiring.transactions.asked import Applying, Changing, Withdrawing
from shortlist.hiring.transactions.commits import MOST_ACTS, MOST_OPENINGS, split
from shortlist.storage.postgres.database import Database
from shortlist.storage.unavailable import DatabaseUnavailableError
from testkit.hiring.postgres import check
from testkit.proxies.postgres import Cut, PostgresProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shortlist.hiring.transactions.asked import Ask
    from shortlist.storage.postgres import Connection

BY = By(Actor("key", "42"))


class Scene:
    """Acts whose connections go through a proxy."""

    def __init__(self, proxy: PostgresProxy, timeout_seconds: float) -> None:
        self.proxy = proxy
        self.database = Database(
            proxy.url,
            name="acts",
            connections=2,
            timeout_seconds=timeout_seconds,
            settings=SESSION,
        )
        self.acts = Acts(self.database, on_submitted=lambda _: None, on_committed=lambda _: None)


@pytest.fixture
async def scene(database_url: str, db: Connection) -> AsyncIterator[Scene]:
    async with PostgresProxy(database_url) as proxy:
        scene = Scene(proxy, timeout_seconds=20)
        yield scene
        await scene.acts.finish()
        await scene.database.close()
    await check(db)


async def opened(scene: Scene) -> OpeningId:
    return OpeningId((await scene.acts.open(NewOpening("Baker", Rules(1)), BY)).id)


async def apply(scene: Scene, opening: OpeningId, name: str) -> Any:
    return await scene.acts.apply_publicly(name, f"{name}@example.org", opening, BY)


@pytest.mark.parametrize("after", [False, True])
async def test_an_act_whose_commit_was_not_answered_is_done_once(
    scene: Scene, db: Connection, *, after: bool
) -> None:
    opening = await opened(scene)
    scene.proxy.cut = Cut("COMMIT", after=after)
    result = await apply(scene, opening, "a")
    assert scene.proxy.cut.is_done
    assert result.status == "ACTIVE"
    assert await db.fetchval("SELECT array_agg(id) FROM placements") == [result.application_id]


async def test_off_switch_an_act_is_done_twice_when_its_events_are_not_looked_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> bool:
        return False

    monkeypatch.setattr(group, "was_committed", never)
    opening = await opened(scene)
    scene.proxy.cut = Cut("COMMIT", after=True)
    with pytest.raises(ConflictError, match="already applied"):
        await apply(scene, opening, "a")


@pytest.mark.parametrize("after", [False, True])
async def test_an_opening_and_an_applicant_are_made_once(
    scene: Scene, db: Connection, *, after: bool
) -> None:
    for make in (
        scene.acts.open(NewOpening("Baker", Rules(1)), BY),
        scene.acts.register("Ada", "ada@example.org", BY),
    ):
        scene.proxy.cut = Cut("COMMIT", after=after)
        await make
        assert scene.proxy.cut.is_done
    counts = "SELECT (SELECT count(*) FROM openings), (SELECT count(*) FROM applicants)"
    assert tuple(await db.fetchrow(counts)) == (1, 1)


@pytest.mark.parametrize(
    "step", ["openings.lock_free", "opening_events.append", "placements.insert", "applicants.make"]
)
async def test_a_step_that_is_refused_is_done_again_with_its_whole_transaction(
    scene: Scene, db: Connection, step: str
) -> None:
    opening = await opened(scene)
    with scene.proxy.refusing(step, "40001", "57P01", "53100", times=3):
        result = await apply(scene, opening, "a")
    assert sum(scene.proxy.refused.values()) == 3
    assert result.status == "ACTIVE"
    assert await db.fetchval("SELECT count(*) FROM opening_events") == 2


async def test_what_the_data_of_one_breaks_is_done_for_the_others(
    scene: Scene, db: Connection
) -> None:
    opening = await opened(scene)
    with scene.proxy.refusing("placements.insert", "22021", times=1):
        results = await asyncio.gather(*(apply(scene, opening, name) for name in "abc"))
    assert [r.queue_position for r in results] == [None, 1, 2]
    assert await db.fetchval("SELECT count(*) FROM placements") == 3


async def test_another_ones_lock_is_a_503_in_time_and_nothing_has_changed(
    database_url: str, db: Connection
) -> None:
    async with PostgresProxy(database_url) as proxy:
        scene = Scene(proxy, timeout_seconds=1.5)
        opening = await opened(scene)
        async with db.transaction():
            await db.fetch("SELECT FROM openings FOR NO KEY UPDATE")
            began = time.monotonic()
            with pytest.raises(DatabaseUnavailableError):
                await apply(scene, opening, "a")
            waited = time.monotonic() - began
        assert waited < 2.5, "1.5 s, and what a busy machine adds"
        await scene.database.close()
    assert await db.fetchval("SELECT count(*) FROM opening_events") == 1
    assert await db.fetchval("SELECT count(*) FROM applicants") == 0


async def test_an_opening_that_is_held_stops_no_other(scene: Scene, db: Connection) -> None:
    held, free = await opened(scene), await opened(scene)
    async with db.transaction():
        await db.fetch("SELECT FROM openings WHERE id = $1 FOR NO KEY UPDATE", held)
        waits = asyncio.create_task(apply(scene, held, "a"))
        results = [await apply(scene, free, name) for name in "abc"]
        assert [r.queue_position for r in results] == [None, 1, 2]
        assert not waits.done()
    assert (await waits).status == "ACTIVE"


def test_asks_share_a_transaction_up_to_its_bounds_in_their_order() -> None:
    one: list[Ask] = [Withdrawing(BY, PlacementId(n)) for n in range(MOST_OPENINGS + 1)]
    assert [len(part) for part in split(one)] == [MOST_OPENINGS, 1]
    same: list[Ask] = [Applying(BY, OpeningId(1), ApplicantId(n)) for n in range(2 * MOST_ACTS + 1)]
    assert [len(part) for part in split(same)] == [MOST_ACTS, MOST_ACTS, 1]
    change = Changing(BY, OpeningId(1), {}, None)
    long = NewApplication(ApplicationId(uuid7()), DEFAULT_PIPELINE, None, "x" * (3 << 20))
    scored: list[Ask] = [Applying(BY, OpeningId(1), ApplicantId(n), long) for n in range(3)]
    assert [len(part) for part in split(scored)] == [1, 1, 1]
    mixed = [*same[:2], change, *same[2:4]]
    assert list(split(mixed)) == [same[:2], [change], same[2:4]]
