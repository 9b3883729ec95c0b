"""Each bound of what clients may make a process hold, by itself, and what happens without it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, cast

import httpx2
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shortlist.http import connections as connections_module
from shortlist.http import protocol as protocol_module
from shortlist.http.budget import CONNECTION_BYTES, RUNNING_BYTES, Budget
from shortlist.http.connections import ConnectionTable, refusable
from shortlist.http.protocol import FIELD_LIMIT, QUEUE_LIMIT, BoundedProtocol
from shortlist.ingest import group_commit
from testkit.clients.bad_input import APPLICATIONS, Reply, read_reply, request
from testkit.processes.ingest import APPLICATION
from testkit.processes.stack import free_port
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from shortlist.storage.postgres import Connection
    from testkit.processes.ingest import Door

    Opener = Callable[..., AbstractAsyncContextManager[Door]]


@pytest.fixture
def opening(opening: Opener) -> Opener:
    """A door whose drain does not wait for those that the test leaves half sent."""
    return functools.partial(opening, drain_timeout_seconds=1)


BODY = json.dumps(APPLICATION).encode()
GOOD = request(APPLICATIONS, BODY)
HEALTH = request("GET /healthz")
PATIENCE_SECONDS = 30
UNLIMITED = 1 << 60


def chunked(*trailers: str, start: str = APPLICATIONS) -> bytes:
    head = f"{start} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    last = "".join(f"{trailer}\r\n" for trailer in trailers).encode("latin-1")
    return head + b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY) + last + b"\r\n"


class Wire:
    """One connection, from an address of the test's choice."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, door: Door, address: str = "127.0.0.1") -> Wire:
        pair = await asyncio.open_connection("127.0.0.1", door.port, local_addr=(address, 0))
        return cls(*pair)

    async def ask(self, raw: bytes) -> Reply:
        self.writer.write(raw)
        return await self.reply()

    async def reply(self) -> Reply:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await read_reply(self.reader, has_body=True)

    async def replies(self) -> list[Reply]:
        """All answers, until the connection ends."""
        found = []
        while (reply := await self.reply()).status:
            found.append(reply)
        return found

    async def is_closed(self) -> bool:
        async with asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read(1) == b""
            return True

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
async def wires() -> AsyncIterator[Callable[..., Awaitable[Wire]]]:
    """Opens connections, and closes them after the test."""
    opened: list[Wire] = []

    async def connect(door: Door, address: str = "127.0.0.1") -> Wire:
        opened.append(await Wire.to(door, address))
        return opened[-1]

    yield connect
    for wire in opened:
        wire.close()


# --- trailers


async def a_trailer_is_no_header(opening: Opener, connect: Any) -> None:
    settings: dict[str, Any] = {
        "rate_limit_per_second": 0.01, "rate_limit_burst": 2, "trust_forwarded_for": 1,
    }  # fmt: skip
    async with opening(**settings) as door:
        statuses = []
        for number in range(4):
            head, _, rest = chunked(f"X-Forwarded-For: 192.0.2.{number}").partition(b"\r\n\r\n")
            forwarded = head + b"\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n" + rest
            wire = await connect(door)
            statuses.append((await wire.ask(forwarded)).status)
        assert statuses == [202, 202, 429, 429]


async def test_a_trailer_is_no_header(opening: Opener, wires: Any) -> None:
    await a_trailer_is_no_header(opening, wires)


async def test_a_key_in_a_trailer_is_no_key(door: Door, wires: Any) -> None:
    wire = await wires(door)
    ids = {(await wire.ask(chunked("Idempotency-Key: k"))).headers["location"] for _ in range(2)}
    assert len(ids) == 2


async def trailers_take_no_memory(opening: Opener, connect: Any) -> None:
    """A field costs its sender four bytes, and would cost us a hundred and twenty."""
    async with opening() as door:
        for trailers in (b"a:\r\n" * 60_000, b"a: " + b"x" * 400_000):
            wire = await connect(door)
            wire.writer.write(chunked()[:-2])
            await asyncio.sleep(0.1)
            reply = await wire.ask(trailers)
            assert (reply.status, reply.code) == (431, "HEADERS_TOO_LARGE")
            assert await wire.is_closed()


async def test_trailers_take_no_memory(opening: Opener, wires: Any) -> None:
    await trailers_take_no_memory(opening, wires)


@pytest.mark.parametrize("check", [a_trailer_is_no_header, trailers_take_no_memory])
async def test_off_switch_trailers(
    opening: Opener, wires: Any, check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "on_header", HttpToolsProtocol.on_header)
    monkeypatch.setattr(protocol_module, "HEAD_LIMIT_BYTES", UNLIMITED)
    monkeypatch.setattr(sys.modules[__name__], "PATIENCE_SECONDS", 3)
    with pytest.raises((AssertionError, TimeoutError)):
        await check(opening, wires)


# --- heads


HEADS = pytest.mark.parametrize(
    ("what", "raw"),
    [
        ("one field too many", request("GET /healthz", b"", *["a: b"] * (FIELD_LIMIT - 1))),
        ("tiny fields", request("GET /healthz", b"", *["a:"] * 9_000)),
        ("long fields", request("GET /healthz", b"", *["a: " + "b" * 4_000] * 9)),
        ("one long field", request("GET /healthz", b"", "a: " + "b" * 40_000)),
        ("a long URL", request("GET /healthz?" + "a" * 40_000)),
        ("one field that does not end", b"GET / HTTP/1.1\r\na: " + b"b" * 40_000),
    ],
)


async def a_head_has_a_size_and_a_number_of_fields(
    door: Door, connect: Any, what: str, raw: bytes, piece_bytes: int
) -> None:
    wire = await connect(door)
    for start in range(0, len(raw), piece_bytes):
        wire.writer.write(raw[start : start + piece_bytes])
        await asyncio.sleep(0)
    reply = await wire.reply()
    assert (reply.status, reply.code) == (431, "HEADERS_TOO_LARGE"), what


@HEADS
@pytest.mark.parametrize("piece_bytes", [1 << 20, 1_000])
async def test_a_head_has_a_size_and_a_number_of_fields(
    door: Door, wires: Any, what: str, raw: bytes, piece_bytes: int
) -> None:
    await a_head_has_a_size_and_a_number_of_fields(door, wires, what, raw, piece_bytes)


@HEADS
async def test_off_switch_heads(
    door: Door, wires: Any, what: str, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEAD_LIMIT_BYTES", "FIELD_LIMIT"):
        monkeypatch.setattr(protocol_module, name, UNLIMITED)
    monkeypatch.setattr(sys.modules[__name__], "PATIENCE_SECONDS", 1)
    with pytest.raises((AssertionError, TimeoutError)):
        await a_head_has_a_size_and_a_number_of_fields(door, wires, what, raw, 1 << 20)


async def test_as_many_fields_as_allowed_are_fine(door: Door, wires: Any) -> None:
    wire = await wires(door)
    # `request` sends two of its own.
    assert (
        await wire.ask(request("GET /healthz", b"", *["a: b"] * (FIELD_LIMIT - 2)))
    ).status == 200


# --- what waits behind an answer


async def requests_behind_an_answer_are_few(opening: Opener, connect: Any) -> None:
    async with opening() as door:
        application = await door.accept()
        wire = await connect(door)
        tiny = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 14_000
        head = await wire.ask(request(f"GET /applications/{application}/events") + tiny)
        assert head.status == 200
        await asyncio.sleep(0.2)
        (busy,) = [c for c in cast("Any", door.ingest.connections.slow) if c.pipeline]
        assert len(busy.pipeline) <= QUEUE_LIMIT
        assert busy.record.charged < 1 << 20


async def test_requests_behind_an_answer_are_few(opening: Opener, wires: Any) -> None:
    await requests_behind_an_answer_are_few(opening, wires)


async def test_off_switch_queue(
    opening: Opener, wires: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol_module, "QUEUE_LIMIT", UNLIMITED)
    with pytest.raises(AssertionError):
        await requests_behind_an_answer_are_few(opening, wires)


async def test_those_that_are_queued_are_answered_and_the_last_says_close(
    door: Door, wires: Any
) -> None:
    wire = await wires(door)
    wire.writer.write(HEALTH * 100)
    replies = await wire.replies()
    assert [reply.status for reply in replies] == [200] * (1 + QUEUE_LIMIT)
    assert ["connection" in reply.headers for reply in replies] == [False] * QUEUE_LIMIT + [True]


async def test_a_queue_that_is_not_too_long_keeps_the_connection(door: Door, wires: Any) -> None:
    wire = await wires(door)
    for _ in range(3):
        wire.writer.write(HEALTH * (1 + QUEUE_LIMIT))
        for _ in range(1 + QUEUE_LIMIT):
            reply = await wire.reply()
            assert (reply.status, reply.headers.get("connection")) == (200, None)


# --- a broken request behind a good one

BROKEN = {
    "nonsense": b"nonsense\r\n\r\n",
    "a head that is too large": request("GET /", b"", "a: " + "b" * 40_000),
    "too many fields": request("GET /", b"", *["a:"] * 200),
    "a chunk size that is none": chunked().replace(b"\r\n0\r\n", b"\r\nxyz\r\n"),
    "too many trailers": chunked(*["a:"] * 200),
    "a trailer that is none": chunked("a b c"),
    "a length that is none": request(APPLICATIONS, BODY, length="ten"),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("before", [1, 3])
@pytest.mark.parametrize("good", [GOOD, HEALTH, request(APPLICATIONS, BODY, "Idempotency-Key: k")])
async def test_a_good_request_is_answered_though_a_broken_one_follows(
    door: Door,
    wires: Any,
    caplog: pytest.LogCaptureFixture,
    what: str,
    before: int,
    good: bytes,
) -> None:
    wire = await wires(door)
    with caplog.at_level(logging.WARNING):
        wire.writer.write(good * before + BROKEN[what])
        replies = await wire.replies()
        await asyncio.sleep(0)
    assert len(replies) == before, what
    assert {reply.status for reply in replies} <= {200, 202}, what
    assert not caplog.records


# --- connections


async def the_longest_idle_ends(opening: Opener, wires: Any) -> None:
    async with opening(connection_limit=3, connection_limit_per_network=8) as door:
        await door.client.aclose()
        first, second, third = [await wires(door) for _ in range(3)]
        for wire in (second, first, third):
            assert (await wire.ask(HEALTH)).status == 200
        fourth = await wires(door)
        assert (await fourth.ask(HEALTH)).status == 200
        assert await second.is_closed()
        for wire in (first, third, fourth):
            assert (await wire.ask(HEALTH)).status == 200


async def test_when_connections_run_out_the_longest_idle_ends(opening: Opener, wires: Any) -> None:
    await the_longest_idle_ends(opening, wires)


async def test_off_switch_longest_idle(
    opening: Opener, wires: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are idle stay, and who comes is refused."""
    monkeypatch.setattr(ConnectionTable, "_longest_idle", OrderedDict())
    with pytest.raises(AssertionError):
        await the_longest_idle_ends(opening, wires)


async def test_off_switch_longest(
    opening: Opener, wires: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one of the idle ends."""

    def shortest(_: ConnectionTable, *orders: Any) -> bool:
        for order in filter(None, orders):
            next(reversed(order)).give_up()
            return True
        return False

    monkeypatch.setattr(ConnectionTable, "_give_up_one", shortest)
    monkeypatch.setattr(sys.modules[__name__], "PATIENCE_SECONDS", 1)
    with pytest.raises((AssertionError, TimeoutError)):
        await the_longest_idle_ends(opening, wires)


async def one_network_ends_its_own_connections_only(opening: Opener, wires: Any) -> None:
    async with opening(connection_limit=10, connection_limit_per_network=2) as door:
        await door.client.aclose()
        other = await wires(door, "127.0.0.2")
        assert (await other.ask(HEALTH)).status == 200
        mine = [await wires(door) for _ in range(2)]
        for wire in mine:
            assert (await wire.ask(HEALTH)).status == 200
        third = await wires(door)
        assert (await third.ask(HEALTH)).status == 200
        assert await mine[0].is_closed()
        assert (await other.ask(HEALTH)).status == 200


async def test_one_network_ends_its_own_connections_only(opening: Opener, wires: Any) -> None:
    await one_network_ends_its_own_connections_only(opening, wires)


async def test_off_switch_connections_of_a_network(
    opening: Opener, wires: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConnectionTable, "_has_place_in", lambda *_: True)
    monkeypatch.setattr(sys.modules[__name__], "PATIENCE_SECONDS", 1)
    with pytest.raises((AssertionError, TimeoutError)):
        await one_network_ends_its_own_connections_only(opening, wires)


async def test_our_own_proxies_have_no_cap(opening: Opener, wires: Any) -> None:
    settings = {"connection_limit_per_network": 2, "trusted_proxies": "127.0.0.0/30"}
    async with opening(**settings) as door:
        open_ones = [await wires(door, "127.0.0.2") for _ in range(6)]
        for wire in open_ones * 2:
            assert (await wire.ask(HEALTH)).status == 200


async def when_all_are_busy(opening: Opener, connect: Any, db: Connection) -> list[int]:
    """The answers to two more than there is place for."""
    settings = {"connection_limit": 4, "connection_limit_per_network": 4}
    async with opening(**settings) as door:
        await door.client.aclose()
        async with db.transaction():
            await db.execute("LOCK TABLE applications IN SHARE MODE")
            busy = [await connect(door) for _ in range(4)]
            for wire in busy:
                wire.writer.write(GOOD)
            await until(lambda: are_busy(door, 4), what="all wait for a commit")
            more = [await connect(door) for _ in range(2)]
            return [(await wire.ask(HEALTH)).status for wire in more]


async def are_busy(door: Door, count: int) -> bool:
    connections = door.ingest.connections
    return (
        connections.open - len(connections.silent) - len(connections.slow) - len(connections.idle)
        >= count
    )


async def test_when_all_are_busy_who_comes_is_told(
    opening: Opener, wires: Any, db: Connection
) -> None:
    assert await when_all_are_busy(opening, wires, db) == [503, 503]


async def test_off_switch_connections(
    opening: Opener, wires: Any, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConnectionTable, "_has_place", lambda _: True)
    monkeypatch.setattr(ConnectionTable, "_has_place_in", lambda *_: True)
    assert await when_all_are_busy(opening, wires, db) == [200, 200]


async def far_too_many_are_not_even_told(opening: Opener, wires: Any, db: Connection) -> None:
    async with opening(connection_limit=1, connection_limit_per_network=1) as door:
        await door.client.aclose()
        async with db.transaction():
            await db.execute("LOCK TABLE applications IN SHARE MODE")
            busy = await wires(door)
            busy.writer.write(GOOD)
            await until(lambda: are_busy(door, 1), what="it waits for a commit")
            for _ in range(40):
                await wires(door)
            await asyncio.sleep(0.1)
            assert door.ingest.connections.open <= 1 + refusable(1)


async def test_far_too_many_are_not_even_told(opening: Opener, wires: Any, db: Connection) -> None:
    await far_too_many_are_not_even_told(opening, wires, db)


async def test_off_switch_far_too_many(
    opening: Opener, wires: Any, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "refusable", lambda _: UNLIMITED)
    with pytest.raises(AssertionError):
        await far_too_many_are_not_even_told(opening, wires, db)


async def watchers(
    door: Door, connect: Any, application: str, count: int, address: str = "127.0.0.1"
) -> list[int]:
    watch = request(f"GET /applications/{application}/events")
    wires = [await connect(door, address) for _ in range(count)]
    return [(await wire.ask(watch)).status for wire in wires]


async def test_watchers_leave_half_of_the_connections_to_others(
    opening: Opener, wires: Any
) -> None:
    """And half of that half to other networks."""
    async with opening(connection_limit=16) as door:
        application = await door.accept()
        assert await watchers(door, wires, application, 6) == [200] * 4 + [503] * 2
        assert await watchers(door, wires, application, 4, "127.0.0.2") == [200] * 4
        assert await watchers(door, wires, application, 2, "127.0.0.3") == [503] * 2
        connections = door.ingest.connections
        assert connections.streams == 8

    async def none() -> bool:
        return connections.streams == 0

    await until(none, what="those that ended are not counted")


async def test_off_switch_watchers(
    opening: Opener, wires: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opening(connection_limit=16) as door:
        application = await door.accept()
        network = door.ingest.connections._network("127.0.0.1")
        monkeypatch.setattr(ConnectionTable, "begin_stream", lambda *_: network)
        assert await watchers(door, wires, application, 5) == [200] * 5
        assert await watchers(door, wires, application, 5, "127.0.0.2") == [200] * 5


async def test_off_switch_watchers_of_a_network(
    opening: Opener, wires: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opening(connection_limit=16) as door:
        application = await door.accept()
        monkeypatch.setattr(ConnectionTable, "_is_exempt", lambda *_: True)
        assert await watchers(door, wires, application, 10) == [200] * 8 + [503] * 2


WATCHERS_IN_LITTLE_BYTES = (1 << 20) // (2 * (CONNECTION_BYTES + RUNNING_BYTES))


async def test_watchers_leave_half_of_the_bytes_to_others(opening: Opener, wires: Any) -> None:
    async with opening(client_memory_bytes=1 << 20, trusted_proxies="127.0.0.0/8") as door:
        application = await door.accept()
        told = await watchers(door, wires, application, WATCHERS_IN_LITTLE_BYTES + 2)
        assert told == [200] * WATCHERS_IN_LITTLE_BYTES + [503] * 2
        assert door.ingest.connections.budget.held_bytes <= (1 << 20) * 0.6


async def test_off_switch_bytes_of_watchers(
    opening: Opener, wires: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opening(client_memory_bytes=1 << 20, trusted_proxies="127.0.0.0/8") as door:
        application = await door.accept()
        monkeypatch.setattr(connections_module, "RUNNING_BYTES", -CONNECTION_BYTES + 1)
        told = await watchers(door, wires, application, WATCHERS_IN_LITTLE_BYTES + 2)
        assert told == [200] * (WATCHERS_IN_LITTLE_BYTES + 2)


# --- bytes

SLOW_COUNT, SLOW_BYTES = 60, 60_000
LITTLE_BYTES = 1 << 20


async def unfinished_bodies_stay_within_the_budget(opening: Opener, connect: Any) -> None:
    """60 × 60 kB where 1 MiB is allowed: the slowest go, and who sends at once is served."""
    async with opening(client_memory_bytes=LITTLE_BYTES) as door:
        budget = door.ingest.connections.budget
        slow = [await connect(door) for _ in range(SLOW_COUNT)]
        for wire in slow:
            wire.writer.write(request(APPLICATIONS, b"x" * SLOW_BYTES, length=SLOW_BYTES + 1))
            await wire.writer.drain()
            assert budget.held_bytes <= LITTLE_BYTES + 300_000
        await asyncio.sleep(0.2)
        assert budget.held_bytes <= LITTLE_BYTES
        assert (await (await connect(door)).ask(GOOD)).status == 202
        reply = await slow[0].reply()
        assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "UNAVAILABLE", "1")
        assert (await slow[-1].ask(b"x")).status == 400  # it was let finish: it is no JSON


async def test_unfinished_bodies_stay_within_the_budget(opening: Opener, wires: Any) -> None:
    await unfinished_bodies_stay_within_the_budget(opening, wires)


async def test_off_switch_budget(
    opening: Opener, wires: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Budget, "is_full", False)
    with pytest.raises(AssertionError):
        await unfinished_bodies_stay_within_the_budget(opening, wires)


async def what_waits_for_a_commit_stays_within_the_budget(
    opening: Opener, connect: Any, db: Connection
) -> None:
    async with opening(client_memory_bytes=LITTLE_BYTES) as door:
        budget = door.ingest.connections.budget
        raw = request(APPLICATIONS, json.dumps(APPLICATION | {"payload": "p" * 60_000}).encode())
        async with db.transaction():
            await db.execute("LOCK TABLE applications IN SHARE MODE")
            waiting = [await connect(door) for _ in range(40)]
            for wire in waiting:
                wire.writer.write(raw)
            await until(lambda: settled(door), what="all have been read")
            assert budget.held_bytes <= LITTLE_BYTES + 100_000
        statuses = [(await wire.reply()).status for wire in waiting]
        assert set(statuses) == {202, 503}
        stored = await db.fetchval("SELECT count(*) FROM applications")
        assert stored == statuses.count(202)


async def settled(door: Door) -> bool:
    """Whether each is being answered, or was told and has gone."""
    connections = door.ingest.connections
    return not (connections.silent or connections.slow or connections.leaving)


async def test_what_waits_for_a_commit_stays_within_the_budget(
    opening: Opener, wires: Any, db: Connection
) -> None:
    await what_waits_for_a_commit_stays_within_the_budget(opening, wires, db)


@pytest.mark.parametrize("off", [(Budget, "is_full", False), (group_commit, "_size", lambda _: 0)])
async def test_off_switch_backlog_bytes(
    opening: Opener, wires: Any, db: Connection, off: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*off)
    with pytest.raises(AssertionError):
        await what_waits_for_a_commit_stays_within_the_budget(opening, wires, db)


async def test_everything_is_given_back(opening: Opener, wires: Any) -> None:
    async with opening() as door:
        application = await door.accept()
        wire, watcher = await wires(door), await wires(door)
        assert (await watcher.ask(request(f"GET /applications/{application}/events"))).status == 200
        for raw in (
            GOOD,
            HEALTH,
            chunked("a: b"),
            request(APPLICATIONS, BODY, "Idempotency-Key: k"),
        ):
            assert (await wire.ask(raw)).status in {200, 202}
        connections = door.ingest.connections
        wire.close()
        watcher.close()
        await door.client.aclose()

        async def nothing() -> bool:
            return (connections.open, connections.budget.held_bytes, connections.streams) == (
                0,
                0,
                0,
            )

        await until(nothing, what="nothing is counted any more")
        assert not connections._networks


# --- those that do not read


async def who_does_not_read_has_to_go(opening: Opener, connect: Any) -> None:
    async with opening() as door:
        connections = door.ingest.connections
        wire = await connect(door)
        ask = request("GET /metrics")

        async def is_stuck() -> bool:
            wire.writer.write(ask * 8)
            return bool(connections.unread)

        await until(is_stuck, what="it does not take its answers")
        client = next(iter(connections.unread))
        assert client.record.charged < 2 << 20

        async def is_gone() -> bool:
            return not client.record.is_open

        await until(is_gone, within_seconds=8, what="it has to go")


async def test_who_does_not_read_has_to_go(
    opening: Opener, wires: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "UNREAD_SECONDS", 1.0)
    await who_does_not_read_has_to_go(opening, wires)


async def test_off_switch_unread(
    opening: Opener, wires: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "UNREAD_SECONDS", UNLIMITED)
    with pytest.raises(AssertionError, match="has to go"):
        await who_does_not_read_has_to_go(opening, wires)


# --- the probes' own listener


async def health(door: Door, db: Connection, connect: Any, port: int) -> int:
    """What ``/healthz`` says on a port while the table is full."""
    async with db.transaction():
        await db.execute("LOCK TABLE applications IN SHARE MODE")
        for _ in range(2):
            wire = await connect(door)
            wire.writer.write(GOOD)
        await until(lambda: are_busy(door, 2), what="all wait for a commit")
        async with httpx2.AsyncClient(trust_env=False) as client:
            return (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code


async def test_a_full_house_answers_its_probes(opening: Opener, wires: Any, db: Connection) -> None:
    port = free_port()
    settings = {"connection_limit": 2, "connection_limit_per_network": 2, "metrics_port": port}
    async with opening(**settings) as door:
        await door.client.aclose()
        assert await health(door, db, wires, port) == 200
        assert await health(door, db, wires, port) == 200


async def test_off_switch_probes(opening: Opener, wires: Any, db: Connection) -> None:
    """Without a listener of their own they are clients as any other."""
    async with opening(connection_limit=2, connection_limit_per_network=2) as door:
        await door.client.aclose()
        assert await health(door, db, wires, door.port) == 503
