"""The way to an API server, as a proxy that a test may break.

TLS passes through it (HTTP's CONNECT), so certificates are verified as they are without it.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Self

from testkit.processes.stack import free_port


@dataclass(eq=False)
class Tunnel:
    """One connection, from a client to the server."""

    task: asyncio.Task[None] | None
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: it stays open, and carries nothing."""


class Proxy:
    """An async context manager; passes everything on until it is told otherwise."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._tunnels: set[Tunnel] = set()
        self._hangs = False
        self._server: asyncio.Server | None = None

    async def refuse(self) -> None:
        """As a server that is down: refuse new clients, and cut off the connected ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = [tunnel.task for tunnel in self._tunnels if tunnel.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def hang(self) -> None:
        """As a server that is stopped: accept every client, and answer none."""
        self._hangs = True
        await self.stall()

    async def stall(self) -> None:
        """As a router that lost its memory: what is open carries nothing, what is new does."""
        for tunnel in self._tunnels:
            tunnel.flows.clear()

    async def recover(self) -> None:
        """Be well again, after `refuse` or `hang`."""
        self._hangs = False
        for tunnel in self._tunnels:
            tunnel.flows.set()
        if self._server is None:
            port = int(self.url.rpartition(":")[2])
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def __aenter__(self) -> Self:
        await self.recover()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = Tunnel(asyncio.current_task())
        self._tunnels.add(tunnel)
        if not self._hangs:
            tunnel.flows.set()
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await _carry(tunnel, reader, writer)
        finally:
            self._tunnels.discard(tunnel)
            writer.transport.abort()


async def _carry(
    tunnel: Tunnel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Open the connection that is asked for, and pass bytes on until one side ends."""
    head = await reader.readuntil(b"\r\n\r\n")
    host, _, port = head.split()[1].decode().rpartition(":")
    await tunnel.flows.wait()
    from_server, to_server = await asyncio.open_connection(host.strip("[]"), int(port))
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    pumps = [
        asyncio.create_task(_pump(tunnel, reader, to_server)),
        asyncio.create_task(_pump(tunnel, from_server, writer)),
    ]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        to_server.transport.abort()


async def _pump(tunnel: Tunnel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        await tunnel.flows.wait()
        writer.write(data)
        await writer.drain()
