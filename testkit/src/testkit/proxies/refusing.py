"""What a proxy is that refuses: it listens, connects each client with the server, and counts."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class End:
    """One side of a connection through the proxy: the client's, or the server's."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Write, and wait while the other side does not read."""
        self.writer.write(data)
        await self.writer.drain()

    async def copy_to(self, other: End) -> None:
        """Pass on what comes from here as it is, until it hangs up."""
        while data := await self.reader.read(65536):
            await other.send(data)


class RefusingProxy(ABC, Generic[R]):
    """Listens on a port of 127.0.0.1; an async context manager. ``R``: what is to be refused."""

    def __init__(self) -> None:
        """Nothing is refused yet."""
        self.port = 0
        self.refusals: list[R] = []
        self.refused: Counter[tuple[str, str]] = Counter()
        """(step, error) → how often it was refused here."""
        self._tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the real server."""

    @abstractmethod
    async def serve(self, client: End, server: End) -> None:
        """Pass on what one client and the server say, until one of them hangs up."""

    @contextmanager
    def during(self, refusal: R) -> Iterator[R]:
        """Refuse for the length of a block."""
        self.refusals.append(refusal)
        try:
            yield refusal
        finally:
            self.refusals.remove(refusal)

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close, with all connections."""
        self._server.close()
        await _end(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, EOFError, asyncio.CancelledError):
            server = End(*await self.connect())
            try:
                await self.serve(End(reader, writer), server)
            finally:
                server.writer.close()
        writer.close()


async def until_one_ends(*ways: Coroutine[None, None, None]) -> None:
    """Run both ways of a connection until one of the sides hangs up."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(tasks)


async def _end(tasks: set[asyncio.Task[None]] | list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
