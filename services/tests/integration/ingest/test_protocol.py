"""What `test_bad_input` cannot see: what happens on a connection after the first answer."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from testkit.clients.bad_input import APPLICATIONS, Reply, read_reply, request
from testkit.processes.ingest import APPLICATION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from testkit.processes.ingest import Door

    Opener = Callable[..., AbstractAsyncContextManager[Door]]

GOOD = request(APPLICATIONS, json.dumps(APPLICATION).encode())
PATIENCE_SECONDS = 30


class Wire:
    """One connection to a door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @asynccontextmanager
    async def to(cls, door: Door) -> AsyncIterator[Wire]:
        wire = cls(*await asyncio.open_connection("127.0.0.1", door.port))
        try:
            yield wire
        finally:
            wire.writer.close()
            with suppress(OSError):
                await wire.writer.wait_closed()

    async def reply(self) -> Reply:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await read_reply(self.reader, has_body=True)

    async def ask(self, raw: bytes) -> Reply:
        self.writer.write(raw)
        return await self.reply()

    async def is_closed(self) -> bool:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read() == b""


async def test_a_connection_serves_one_request_after_another_good_or_bad(door: Door) -> None:
    async with Wire.to(door) as wire:
        for raw, status in [
            (GOOD, 202),
            (request(APPLICATIONS, b"{"), 400),
            (request(APPLICATIONS, b"x" * 1_000_000), 413),
            (GOOD, 202),
            (request("GET /no/such/path"), 404),
            (GOOD, 202),
        ]:
            assert (await wire.ask(raw)).status == status


async def test_requests_sent_without_waiting_are_answered_in_order(door: Door) -> None:
    async with Wire.to(door) as wire:
        wire.writer.write(
            GOOD * 2 + request("GET /leaderboard") + request(APPLICATIONS, b"{") + GOOD
        )
        assert [(await wire.reply()).status for _ in range(5)] == [202, 202, 200, 400, 202]


async def test_a_request_in_order_is_answered_though_nonsense_follows(door: Door) -> None:
    async with Wire.to(door) as wire:
        assert (await wire.ask(GOOD + b"nonsense\r\n\r\n")).status == 202
        assert await wire.is_closed()


async def test_who_asks_before_sending_a_large_body_need_not_send_it(door: Door) -> None:
    async with Wire.to(door) as wire:
        head = request(APPLICATIONS, b"", "Expect: 100-continue", length=10_000_000)
        assert (await wire.ask(head)).status == 413


async def test_who_asks_before_sending_a_small_body_is_told_to_go_on(door: Door) -> None:
    async with Wire.to(door) as wire:
        body = json.dumps(APPLICATION).encode()
        head = request(APPLICATIONS, b"", "Expect: 100-continue", length=len(body))
        assert (await wire.ask(head)).status == 100
        assert (await wire.ask(body)).status == 202


async def test_an_upgrade_that_we_do_not_speak_is_answered_plainly(door: Door) -> None:
    # As java.net.http.HttpClient asks with its first request, and curl with --http2.
    async with Wire.to(door) as wire:
        body = json.dumps(APPLICATION).encode()
        upgrade = (
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABk",
        )
        assert (await wire.ask(request(APPLICATIONS, body, *upgrade))).status == 202
        assert await wire.is_closed()


async def test_a_second_request_that_does_not_arrive_is_408(opening: Opener) -> None:
    async with opening(body_timeout_seconds=0.5) as door, Wire.to(door) as wire:
        assert (await wire.ask(GOOD)).status == 202
        assert (await wire.ask(GOOD[:-5])).status == 408
        assert await wire.is_closed()


async def test_a_refused_body_that_never_ends_ends_the_connection(opening: Opener) -> None:
    async with opening(body_timeout_seconds=0.5) as door, Wire.to(door) as wire:
        assert (await wire.ask(request(APPLICATIONS, b"x", length=10_000_000))).status == 413
        assert await wire.is_closed()


async def test_who_is_refused_may_finish_sending_and_read_why_but_not_for_ever(door: Door) -> None:
    async with Wire.to(door) as wire:
        head = b"GET / HTTP/1.1\r\nX-Filler: " + b"a" * 40_000 + b"\r\nX-More: "
        assert (await wire.ask(head)).status == 431
        for _ in range(10):
            wire.writer.write(b"a" * 1_000)
            await wire.writer.drain()  # raises when the connection was reset
        async with asyncio.timeout(PATIENCE_SECONDS):
            with suppress(ConnectionError):
                while True:
                    wire.writer.write(b"a" * 1_000)
                    await wire.writer.drain()
                    await asyncio.sleep(0.05)


async def test_a_slow_answer_is_not_a_slow_request(opening: Opener) -> None:
    async with opening(body_timeout_seconds=0.5) as door:
        application = await door.accept()
        async with Wire.to(door) as wire:
            wire.writer.write(request(f"GET /applications/{application}/events"))
            assert (await wire.reply()).status == 200
            await asyncio.sleep(1.5)  # three deadlines of a request
            assert not wire.reader.at_eof()
