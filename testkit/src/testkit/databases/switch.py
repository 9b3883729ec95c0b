"""A name whose meaning a test changes: a TCP port that leads to one server, and then to another."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from testkit.processes.stack import free_port


class Switch:
    """Leads new connections to ``target``; those that are open stay where they are."""

    def __init__(self, target: int) -> None:
        """``target``: a port of this machine."""
        self.target = target
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()

    async def lead_to(self, port: int) -> None:
        """Lead to another server from now on."""
        self.target = port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        try:
            await pass_on(reader, writer, self.target)
        finally:
            self._pumps.discard(task)


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Connect a connection to a port of this machine, until one of the sides hangs up."""
    try:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, far_writer))
                both.create_task(_pump(far_reader, writer))
        finally:
            far_writer.transport.abort()
    except* (OSError, _ClosedError, asyncio.CancelledError):
        pass  # one side has hung up, or the test is over
    finally:
        writer.transport.abort()


class _ClosedError(Exception):
    """One side has hung up: so does the other."""


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    raise _ClosedError
