"""The fast path gives the ordinary way's answers and rows: only their speed tells them apart."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from prometheus_client import REGISTRY

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.ingest.app import IngestApp
from shortlist.storage.postgres.queries import pipelines
from shortlist.storage.redis.line import Line
from testkit.clients.bad_input import APPLICATIONS, CASES, request, send
from testkit.processes.ingest import APPLICATION
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.types import Receive, Scope, Send

    from shortlist.storage.postgres import Connection
    from shortlist.storage.redis import Redis
    from testkit.processes.ingest import Door
    from testkit.processes.place import Place

    Opener = Callable[..., AbstractAsyncContextManager[Door]]

FAST: dict[str, Any] = {}
ORDINARY: dict[str, Any] = {"rate_limit_per_second": 1e6, "rate_limit_burst": 10**9}
"""A rate that no client reaches: so each call is counted, and none is fast."""

PIECE_BYTES = 40
METRICS = ("shortlist_accepted_total", "shortlist_refused_total", "shortlist_accept_seconds_count")
VARYING = [
    (rb"\d\d:\d\d:\d\d GMT", b"TIME"),
    (rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"ID"),
    (rb"ratelimit-remaining: \d+", b"ratelimit-remaining: N"),
    (rb"date: .*, .* TIME", b"date: DATE"),
]


class Sent(NamedTuple):
    """What a test sends on one connection, in how many writes, and how many answers it gets."""

    what: str
    writes: list[bytes]
    answers: int = 1


def post(*headers: str, version: str = "1.1", **fields: Any) -> bytes:
    body = json.dumps(APPLICATION | fields).encode()
    return request(APPLICATIONS, body, *headers).replace(b"HTTP/1.1", f"HTTP/{version}".encode())


GOOD = post()
HEAD_BYTES = GOOD.index(b"\r\n\r\n") + 4
PLAIN = [
    Sent("in one write", [GOOD]),
    Sent("head, then body", [GOOD[:HEAD_BYTES], GOOD[HEAD_BYTES:]]),
    Sent("head with a part of the body", [GOOD[: HEAD_BYTES + 5], GOOD[HEAD_BYTES + 5 :]]),
    Sent("in pieces", [GOOD[n : n + PIECE_BYTES] for n in range(0, len(GOOD), PIECE_BYTES)]),
    Sent("other text", [post(candidate='Ægir “Ŧ” 日本 👩‍🚀 \\ " \u2028', payload="p" * 60_000)]),
    Sent("another pipeline", [post(pipeline="sales")]),
    Sent("unknown fields", [post(else_=1)]),
    Sent("keep-alive", [post("Connection: keep-alive")]),
    Sent("another client's trace", [post(f"traceparent: 00-{1:032x}-{1:016x}-01")]),
    Sent("one after another", [GOOD, GOOD, GOOD], 3),
    Sent("nonsense behind it", [GOOD + b"nonsense\r\n\r\n"]),
]
UNUSUAL = [
    Sent("a key", [post("Idempotency-Key: k")]),
    Sent("a key of 300 characters", [post("Idempotency-Key: " + "k" * 300)]),
    Sent("to be closed", [post("Connection: close")]),
    Sent("HTTP/1.0", [post(version="1.0")]),
    Sent("HTTP/1.0, keep-alive", [post("Connection: keep-alive", version="1.0")]),
    Sent("a query", [GOOD.replace(b"/applications", b"/applications?a=b")]),
    Sent("an escaped path", [GOOD.replace(b"/applications", b"/%61pplications")]),
    Sent("an encoding that is none", [post("Content-Encoding: identity")]),
    Sent("100-continue", [post("Expect: 100-continue")]),
    Sent("an upgrade", [post("Connection: Upgrade", "Upgrade: h2c")]),
    Sent("the second without waiting", [GOOD * 3], 3),
    Sent("nothing of a body", [request(APPLICATIONS)]),
]
BAD = [
    Sent(bad.what, [bad.raw])
    for bad in CASES
    if bad.to == APPLICATIONS
    and len(bad.raw) < 70_000  # or it is cut off while it is sent
    and not re.search("silence|never ending|too large", bad.what)  # they are answered late
]


async def exchange(port: int, sent: Sent) -> list[bytes]:
    """The raw answers, less what is never the same twice."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        answers = []
        for number, write in enumerate(sent.writes):
            if number:
                await asyncio.sleep(0.01)  # the server mostly sees what was written so far
            writer.write(write)
            if sent.answers == len(sent.writes):
                answers.append(await read_answer(reader))
        while len(answers) < sent.answers:
            answers.append(await read_answer(reader))
        return answers
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        answer = head + (await reader.readexactly(int(length[1])) if length else b"")
    for pattern, instead in VARYING:
        answer = re.sub(pattern, instead, answer)
    return answer


def measured() -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name in METRICS
    }


class Effects(NamedTuple):
    """What requests did."""

    answers: dict[str, list[bytes]]
    rows: list[tuple[Any, ...]]
    keys: int
    published: int
    counted: dict[tuple[str, ...], float]


async def effects(door: Door, db: Connection, redis: Redis, all_sent: list[Sent]) -> Effects:
    """Send, look at everything, and clear up."""
    before = measured()
    answers = {sent.what: await exchange(door.port, sent) for sent in all_sent}
    rows = await db.fetch("SELECT pipeline, candidate, payload, traceparent FROM applications")
    line = Line(redis, DEFAULT_PIPELINE)
    here = sum(row["pipeline"] == DEFAULT_PIPELINE for row in rows)

    async def published() -> bool:
        return bool(await line.submissions() == here)

    await until(published, what="all are on the line")
    seen = Effects(
        answers,
        sorted(tuple(row) for row in rows),
        await db.fetchval("SELECT count(*) FROM idempotency_keys"),
        await line.submissions(),
        {key: value - before.get(key, 0) for key, value in measured().items()},
    )
    await db.execute("TRUNCATE applications, idempotency_keys, scoped_idempotency_keys")
    await redis.flushall()
    return seen


async def test_both_ways_answer_alike_store_alike_and_count_alike(
    opening: Opener, db: Connection, line_redis: Redis
) -> None:
    await pipelines.configure(db, "sales", 1_000)  # type: ignore[arg-type]
    seen = []
    for way in (FAST, ORDINARY):
        async with opening(**way) as door:
            seen.append(await effects(door, db, line_redis, PLAIN + UNUSUAL + BAD))
    fast, ordinary = seen
    for what, answers in ordinary.answers.items():
        assert fast.answers[what] == answers, what
    assert fast == ordinary
    assert len(fast.rows) > len(PLAIN)


@asynccontextmanager
async def watched(
    opening: Opener, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> AsyncIterator[tuple[Door, list[str]]]:
    """A door, and the paths of the requests that reach its app."""
    reached: list[str] = []
    answer = IngestApp.__call__

    async def note(self: IngestApp, scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(f"{scope['method']} {scope['path']}")
        await answer(self, scope, receive, send)

    monkeypatch.setattr(IngestApp, "__call__", note)
    async with opening(**settings) as door:
        reached.clear()
        yield door, reached


async def test_the_app_gets_what_is_unusual_and_nothing_else(
    opening: Opener, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pipelines.configure(db, "sales", 1_000)  # type: ignore[arg-type]
    async with watched(opening, monkeypatch) as (door, reached):
        for sent in PLAIN:
            await exchange(door.port, sent)
            assert not reached, sent.what
        for sent in UNUSUAL:
            await exchange(door.port, sent)
            assert reached, sent.what
            reached.clear()


async def test_the_app_gets_everything_where_a_rate_is_limited(
    opening: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(opening, monkeypatch, **ORDINARY) as (door, reached):
        await exchange(door.port, PLAIN[0])
        assert reached == [APPLICATIONS]


@asynccontextmanager
async def commits_wait(db: Connection) -> AsyncIterator[Callable[[], Any]]:
    """Inside the block inserts wait; gives what tells whether one does."""

    async def one_waits() -> bool:
        return bool(await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    async with db.transaction():
        await db.execute("LOCK TABLE applications IN SHARE MODE")
        yield one_waits


@pytest.mark.parametrize("way", [FAST, ORDINARY], ids=["fast", "ordinary"])
async def test_a_commit_that_comes_too_late_is_503_and_gives_the_place_back(
    opening: Opener, db: Connection, way: dict[str, Any]
) -> None:
    async with opening(commit_timeout_seconds=0.5, **way) as door, commits_wait(db):
        (answer,) = await exchange(door.port, PLAIN[0])
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\ndate: DATE\r\n")
        assert b"\r\nretry-after: 1\r\nratelimit-limit: 100000\r\n" in answer
        assert b'"code":"UNAVAILABLE"' in answer
        line = door.ingest.lines.known(DEFAULT_PIPELINE)
        assert line is not None
        assert line.depth == 0


@pytest.mark.parametrize("way", [FAST, ORDINARY], ids=["fast", "ordinary"])
async def test_a_bug_is_500_and_costs_neither_the_connection_nor_the_process(
    place: Place, way: dict[str, Any]
) -> None:
    async with place.running(failpoints="ingest.before_commit=error", **way) as run:
        reply = await send(run.ingest.port, GOOD)
        assert (reply.status, reply.code) == (500, "INTERNAL_ERROR")
        assert "connection" not in reply.headers
        assert '"internal_error"' in run.ingest.log
        assert not run.ingest.deaths


async def begin_to_drain(door: Door) -> None:
    """Return when every connection was told."""
    door.stopping.ask()

    async def refuses() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        except OSError:
            return True
        writer.close()
        return False

    await until(refuses, what="no client is let in any more")


@pytest.mark.parametrize("way", [FAST, ORDINARY], ids=["fast", "ordinary"])
async def test_a_drain_answers_what_waits_for_its_commit_and_hangs_up(
    opening: Opener, db: Connection, way: dict[str, Any]
) -> None:
    async with opening(**way) as door:
        async with commits_wait(db) as one_waits:
            waiting = asyncio.create_task(exchange(door.port, PLAIN[0]))
            await until(one_waits, what="the commit waits")
            await begin_to_drain(door)
        (answer,) = await waiting
        assert answer.startswith(b"HTTP/1.1 202 Accepted\r\n")
        assert b"\r\nconnection: close\r\n" in answer


@pytest.mark.parametrize("way", [FAST, ORDINARY], ids=["fast", "ordinary"])
async def test_a_drain_answers_what_has_begun_to_arrive(
    opening: Opener, way: dict[str, Any]
) -> None:
    async with opening(**way) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(GOOD[:-5])
        await asyncio.sleep(0.2)  # the server has read it
        await begin_to_drain(door)
        writer.write(GOOD[-5:])
        answer = await read_answer(reader)
        assert answer.startswith(b"HTTP/1.1 202 Accepted\r\n")
        assert b"\r\nconnection: close\r\n" in answer
        assert await reader.read() == b""
        writer.close()


async def test_who_hangs_up_before_the_commit_is_accepted_all_the_same(
    opening: Opener, db: Connection
) -> None:
    async with opening() as door:
        async with commits_wait(db) as one_waits:
            _, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(GOOD)
            await until(one_waits, what="the commit waits")
            writer.transport.abort()
            await asyncio.sleep(0.2)  # long enough to notice it, mostly
        await door.accept()

        async def both_are_there() -> bool:
            return bool(await db.fetchval("SELECT count(*) = 2 FROM applications"))

        await until(both_are_there, what="both are there")  # two commits overlap, in any order
