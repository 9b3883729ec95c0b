"""TLS before a server that was built without it, at a port at which its peers speak plainly.

Replicas, Sentinels and nodes of a cluster tell each other's ports to our clients: there must be one
port for both. A client that begins with a TLS handshake gets TLS.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Self

from testkit.databases.switch import pass_on
from testkit.processes.stack import free_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine

_HANDSHAKE = b"\x16"
"""The first byte of a TLS record that begins a handshake (RFC 8446, 5.1)."""


class TlsFront:
    """Listens on a port of its own; an async context manager."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """``context``: with the server's certificate."""
        self.port = free_port()
        self.target = 0
        """The server's own port."""
        self.by_tls = 0
        """How many connections began with a handshake that succeeded."""
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._listener.settimeout(0)
        self._start(self._accept())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._listener)
            self._start(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            is_tls = await _first_byte(connection) == _HANDSHAKE
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, connection, ssl=self._context if is_tls else None
            )
        except OSError:  # TLS's errors are some of these: the client did not trust us
            connection.close()
            return
        self.by_tls += is_tls
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        await pass_on(reader, writer, self.target)


async def _first_byte(connection: socket.socket) -> bytes:
    """The first byte that a client sends, which stays to be read; empty when it hangs up."""
    connection.settimeout(0)
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)
    return connection.recv(1, socket.MSG_PEEK)
