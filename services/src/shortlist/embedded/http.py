"""The one thing the supervisor asks over HTTP: whether a process is ready."""

from __future__ import annotations

import asyncio
from contextlib import suppress

_TIMEOUT_SECONDS = 2.0


async def http_status(host: str, port: int, path: str) -> int | None:
    """Return the status of a GET; None when there was no answer in time."""
    name = f"[{host}]" if ":" in host else host
    request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
    with suppress(OSError, asyncio.IncompleteReadError, ValueError, IndexError):
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request.encode())
                line = await reader.readline()  # HTTP/1.1 200 OK
                return int(line.split()[1])
            finally:
                writer.close()
    return None
