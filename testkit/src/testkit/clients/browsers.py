"""Clients that watch applications by server-sent events, and keep the one stream that they have."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Self

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

_FINAL = ("scored", "failed")


class Browsers:
    """Watchers of one ingest, an async context manager."""

    def __init__(self, ingest_url: str) -> None:
        """Nothing is watched before `watch`."""
        self._url = ingest_url
        self._streams: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(self._url, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        for stream in self._streams:
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)
        await self._session.close()

    async def watch(self, ids: Iterable[UUID]) -> None:
        """Open a stream for each; returns when each has told its first status."""
        begun = []
        for application_id in ids:
            first = asyncio.Event()
            begun.append(first.wait())
            self._streams.append(asyncio.create_task(self._until_final(application_id, first)))
        await asyncio.wait_for(asyncio.gather(*begun), 10)

    async def are_told(self, within_seconds: float) -> None:
        """Wait until each stream has told the final status."""
        _, waiting = await asyncio.wait(self._streams, timeout=within_seconds)
        count = len(waiting)
        assert not waiting, f"not within {within_seconds} s: {count} watchers are told the end"
        await asyncio.gather(*self._streams)

    async def _until_final(self, application_id: UUID, first: asyncio.Event) -> None:
        async with self._session.get(f"/applications/{application_id}/events") as stream:
            async for line in stream.content:
                if line.startswith(b"data: "):
                    first.set()
                    if json.loads(line.removeprefix(b"data: "))["status"] in _FINAL:
                        return
        raise AssertionError("the stream ended without the final status")
