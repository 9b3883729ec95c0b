"""How long answers take, measured with raw sockets by many clients at once."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass

SPREAD_SECONDS = 0.6
"""The clients of a wave do not come in one instant: some find others waiting already."""

_SILENCE_SECONDS = 8.0
"""A client that has no answer by then stops waiting for it."""


@dataclass(frozen=True)
class Ask:
    """One request to one server."""

    port: int
    method: str
    target: str
    body: bytes = b""
    headers: tuple[str, ...] = ()

    @property
    def raw(self) -> bytes:
        """As it goes over the wire."""
        lines = [
            f"{self.method} {self.target} HTTP/1.1",
            "Host: 127.0.0.1",
            "Connection: close",
            f"Content-Length: {len(self.body)}",
            *self.headers,
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


@dataclass(frozen=True)
class Timed:
    """An answer, and how long it took from before the connection was opened; status 0: none."""

    ask: Ask
    status: int
    head: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.ask.method} {self.ask.target}: {self.status} after {self.seconds:.2f} s"


async def timed(ask: Ask) -> Timed:
    """Ask once; of an answer without a length the head is read, of a stream its first byte too."""
    began_at = time.monotonic()
    try:
        async with asyncio.timeout(_SILENCE_SECONDS):
            head = await _exchange(ask)
    except (OSError, asyncio.IncompleteReadError):
        head = "HTTP/1.1 0"
    return Timed(ask, int(head.split()[1]), head.lower(), time.monotonic() - began_at)


async def _exchange(ask: Ask) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", ask.port)
    try:
        writer.write(ask.raw)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        if length is not None and ask.method != "HEAD":
            await reader.readexactly(int(length[1]))
        elif "text/event-stream" in head and ask.method != "HEAD":
            await reader.readexactly(1)
    finally:
        writer.close()
    return head


async def wave(asks: list[Ask], clients: int) -> list[Timed]:
    """All of some requests, each by so many clients; they come within `SPREAD_SECONDS`."""

    async def one(ask: Ask, number: int) -> Timed:
        await asyncio.sleep(SPREAD_SECONDS * number / clients)
        return await timed(ask)

    every = (one(ask, number) for ask in asks for number in range(clients))
    return list(await asyncio.gather(*every))
