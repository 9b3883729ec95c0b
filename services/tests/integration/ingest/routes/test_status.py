from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

if TYPE_CHECKING:
    from testkit.clients.dashboard import Applicants
    from testkit.processes.ingest import Door


async def test_an_application_shows_its_state(door: Door, applicants: Applicants) -> None:
    ids = {
        "pending": await applicants.pending("Ada"),
        "scoring": await applicants.scoring("Ada"),
        "scored": await applicants.scored("Ada", 71.5),
        "failed": await applicants.failed("Ada", "no reply"),
    }
    for status, application in ids.items():
        reply = await door.client.get(f"/applications/{application}")
        assert reply.status_code == 200
        view = reply.json()
        assert (view["id"], view["candidate"], view["status"]) == (str(application), "Ada", status)
        assert view.get("score") == (71.5 if status == "scored" else None)
        assert view.get("reason") == ("no reply" if status == "failed" else None)
        assert ("finished_at" in view) == (status in ("scored", "failed"))


@pytest.mark.parametrize(
    ("state", "head", "job", "name"),
    [
        ("pending", 202, 425, "PENDING"),
        ("scoring", 202, 425, "PROCESSING"),
        ("scored", 200, 200, "COMPLETED"),
        ("failed", 410, 200, "COMPLETED"),
    ],
)
async def test_pollers_are_told_by_the_status_code(
    door: Door, applicants: Applicants, state: str, head: int, job: int, name: str
) -> None:
    application = {
        "pending": lambda: applicants.pending(None),
        "scoring": lambda: applicants.scoring("Ada"),
        "scored": lambda: applicants.scored("Ada", 1.0),
        "failed": lambda: applicants.failed("Ada", "no reply"),
    }[state]()
    text = str(await application)
    reply = await door.client.head(f"/applications/{text}")
    assert (reply.status_code, reply.content) == (head, b"")
    reply = await door.client.get(f"/status/{text}")
    assert (reply.status_code, reply.json()) == (job, {"id": text, "status": name})


async def test_a_read_after_a_write_sees_it(door: Door) -> None:
    async def write_and_read() -> None:
        application = await door.accept()
        reply = await door.client.get(f"/applications/{application}")
        assert reply.json()["id"] == application

    await asyncio.gather(*(write_and_read() for _ in range(50)))


async def test_many_are_answered_in_the_order_asked_and_the_unknown_left_out(door: Door) -> None:
    ids = [await door.accept() for _ in range(3)]
    asked = [ids[2], str(uuid7()), ids[0], ids[1], ids[2]]
    reply = await door.client.get("/applications", params={"ids": ",".join(asked)})
    assert [view["id"] for view in reply.json()] == [ids[2], ids[0], ids[1]]
    reply = await door.client.get("/applications", params={"ids": ids})  # repeated parameter
    assert [view["id"] for view in reply.json()] == ids


async def test_the_leaderboard_is_best_first_and_ties_go_to_who_came_first(
    door: Door, applicants: Applicants
) -> None:
    scores = [("low", 1.0), ("early", 50.0), ("late", 50.0), ("high", 99.5)]
    ids = {name: await applicants.scored(name, score) for name, score in scores}
    await applicants.pending("waiting")
    reply = await door.client.get("/leaderboard")
    ranked = reply.json()
    assert [r["candidate"] for r in ranked] == ["high", "early", "late", "low"]
    assert [r["score"] for r in ranked] == [99.5, 50.0, 50.0, 1.0]
    assert UUID(ranked[0]["id"]) == ids["high"]
    reply = await door.client.get("/leaderboard?limit=2&pipeline=default")
    assert [r["candidate"] for r in reply.json()] == ["high", "early"]
