from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE, PipelineName
from shortlist.storage.postgres.queries import pipelines
from shortlist.storage.postgres.statements import SQL, Statement
from shortlist.storage.redis.line import Line
from testkit.processes.ingest import APPLICATION
from testkit.waiting import until

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection
    from shortlist.storage.redis import Redis
    from testkit.processes.ingest import Door


async def rows(db: Connection) -> int:
    return int(await db.fetchval("SELECT count(*) FROM applications"))


async def test_an_application_is_answered_committed_and_published(
    door: Door, db: Connection, line_redis: Redis
) -> None:
    reply = await door.client.post("/applications", json=APPLICATION)
    assert reply.status_code == 202
    body = reply.json()
    assert body == {"id": body["id"], "status": "pending"}
    assert reply.headers["location"] == f"/applications/{body['id']}"
    row = await db.fetchrow("SELECT * FROM applications")
    assert row is not None
    assert (row["id"], row["pipeline"]) == (UUID(body["id"]), "default")
    assert (row["candidate"], row["payload"]) == ("Ada", "knows her numbers")
    line = Line(line_redis, DEFAULT_PIPELINE)

    async def published() -> bool:
        return await line.submissions() == 1

    await until(published, within_seconds=20, what="it is on the line")
    assert [d.application_id for d in await line.pull("w", 10, 0.1)] in ([], [row["id"]])


async def test_a_job_is_an_application_of_nobody(door: Door, db: Connection) -> None:
    reply = await door.client.post("/job", json={"payload": "p"})
    assert reply.status_code == 202
    assert set(reply.json()) == {"id"}
    assert await db.fetchval("SELECT candidate IS NULL FROM applications")
    view = (await door.client.get(f"/applications/{reply.json()['id']}")).json()
    assert view["candidate"] == "anonymous"


async def test_text_of_any_kind_comes_back_as_it_was_sent(door: Door) -> None:
    candidate = 'Ægir “Ŧ” 日本 👩‍🚀 \\ " \u2028 \x7f'
    application = await door.accept(candidate=candidate)
    view = (await door.client.get(f"/applications/{application}")).json()
    assert view["candidate"] == candidate


async def test_what_is_sent_at_once_is_committed_in_groups(door: Door, db: Connection) -> None:
    accepted = await asyncio.gather(*(door.accept() for _ in range(100)))
    assert len(set(accepted)) == 100 == await rows(db)
    commits = await db.fetchval("SELECT count(DISTINCT xmin::text) FROM applications")
    assert commits < 100


async def test_a_chunked_body_is_as_good_as_another(door: Door) -> None:
    async def pieces() -> object:
        for byte in json.dumps(APPLICATION).encode():
            yield bytes([byte])

    reply = await door.client.post("/applications", content=pieces())  # type: ignore[arg-type]
    assert reply.status_code == 202


async def test_an_idempotency_key_answers_the_first_id_again(door: Door, db: Connection) -> None:
    headers = {"Idempotency-Key": "k"}
    bodies = [
        b'{"candidate": "Ada", "payload": "p"}',
        b'{"payload":"p","candidate":"\\u0041da","pipeline":"default","else":1}',
    ]
    replies = [
        await door.client.post("/applications", content=body, headers=headers) for body in bodies
    ]
    assert [reply.status_code for reply in replies] == [202, 202]
    assert replies[0].json() == replies[1].json()
    assert await rows(db) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/applications", {"candidate": "Ada", "payload": "other"}),
        ("/applications", {"candidate": "Eve", "payload": "p"}),
    ],
)
async def test_an_idempotency_key_with_another_body_is_422(
    door: Door, db: Connection, path: str, body: dict[str, str]
) -> None:
    headers = {"Idempotency-Key": "k"}
    first = {"candidate": "Ada", "payload": "p"}
    assert (await door.client.post("/applications", json=first, headers=headers)).is_success
    reply = await door.client.post(path, json=body, headers=headers)
    assert reply.status_code == 422
    assert reply.json()["error"]["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert await rows(db) == 1


async def test_a_key_sent_many_times_at_once_makes_one_application(
    door: Door, db: Connection
) -> None:
    headers = {"Idempotency-Key": "k"}
    replies = await asyncio.gather(
        *(door.client.post("/applications", json=APPLICATION, headers=headers) for _ in range(50))
    )
    assert {reply.status_code for reply in replies} == {202}
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert await rows(db) == 1
    line = door.ingest.lines.known(DEFAULT_PIPELINE)
    assert line is not None
    assert line.depth <= 1  # the others took no place


async def test_a_pipeline_is_known_as_soon_as_it_is_there(door: Door, db: Connection) -> None:
    body = APPLICATION | {"pipeline": "sales"}
    assert (await door.client.post("/applications", json=body)).status_code == 400
    await pipelines.configure(db, "sales", 2)  # type: ignore[arg-type]
    reply = await door.client.post("/applications", json=body)
    assert reply.status_code == 202
    assert reply.headers["ratelimit-limit"] == "2"


async def a_key_is_free_elsewhere(door: Door, db: Connection) -> None:
    """The same key, on both routes and in two pipelines, is three keys."""
    await pipelines.configure(db, PipelineName("sales"), 1_000)
    headers = {"Idempotency-Key": "1"}
    calls = [
        ("/applications", APPLICATION),
        ("/applications", APPLICATION | {"pipeline": "sales", "payload": "another"}),
        ("/job", {"payload": "a third"}),
    ]
    first = [await door.client.post(path, json=body, headers=headers) for path, body in calls]
    assert [reply.status_code for reply in first] == [202] * 3, "taken elsewhere"
    again = [await door.client.post(path, json=body, headers=headers) for path, body in calls]
    assert [reply.json()["id"] for reply in again] == [reply.json()["id"] for reply in first]
    for path, body in calls:
        other = await door.client.post(path, json=body | {"payload": "other"}, headers=headers)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert await db.fetchval("SELECT count(*) FROM applications") == 3


async def test_a_key_belongs_to_its_route_and_pipeline(door: Door, db: Connection) -> None:
    await a_key_is_free_elsewhere(door, db)


async def test_off_switch_without_a_scope_a_key_is_taken_elsewhere(
    door: Door, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    same_route = r"\(a\.candidate IS NULL\) = (\(i\.candidate IS NULL\)|i\.is_job)"
    for name in ("applications.accept_keyed", "applications.idempotency_owners"):
        scoped = SQL[name]
        source = re.sub(same_route, "true", scoped.source)
        unscoped = source.replace("a.pipeline = i.pipeline", "true")
        monkeypatch.setitem(SQL, name, Statement(name, scoped.parameters, unscoped))
    with pytest.raises(AssertionError, match=r"^taken elsewhere"):
        await a_key_is_free_elsewhere(door, db)
