from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from testkit.observability.otlp import collecting, tracing
from testkit.processes.ingest import APPLICATION, open_door

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection
    from shortlist.storage.redis import Redis

UPSTREAM = "00-{:032x}-{:016x}-{:02x}"


@pytest.mark.parametrize("sampled", [True, False])
async def test_a_trace_goes_with_the_application_when_somebody_records_it(
    database_url: str, redis_url: str, db: Connection, line_redis: Redis, *, sampled: bool
) -> None:
    headers = {"traceparent": UPSTREAM.format(0xABC, 0xDEF, sampled)}
    with collecting() as collector:
        with tracing(collector):
            async with open_door(database_url, redis_url) as door:
                reply = await door.client.post("/applications", json=APPLICATION, headers=headers)
                refused = await door.client.post("/job", content=b"{", headers=headers)
                assert (reply.status_code, refused.status_code) == (202, 400)
        stored = await db.fetchval("SELECT traceparent FROM applications")
        entries: Any = await line_redis.xrange("sl:{default}:line")
        assert [fields.get("tp") for _, fields in entries] == [stored]
        if not sampled:
            assert stored is None
            assert not collector.named("POST /applications")
            return
        post, send = collector.one("POST /applications"), collector.one("send default")
        assert stored == UPSTREAM.format(0xABC, int(send.span_id, 16), 1)
        assert (post.parent_id, send.parent_id) == (f"{0xDEF:016x}", post.span_id)
        assert post.attributes["http.response.status_code"] == 202
        assert send.attributes["messaging.message.id"] == reply.json()["id"]
        assert collector.one("POST /job").attributes["http.response.status_code"] == 400
        assert APPLICATION["payload"].encode() not in collector.raw


async def test_without_a_collector_a_trace_of_others_is_left_alone(
    database_url: str, redis_url: str, db: Connection
) -> None:
    headers = {"traceparent": UPSTREAM.format(0xABC, 0xDEF, 1)}
    async with open_door(database_url, redis_url) as door:
        await door.client.post("/applications", json=APPLICATION, headers=headers)
    assert await db.fetchval("SELECT traceparent FROM applications") is None
