"""``GET /applications/{id}/events``: each change of status, until the final one.

Server-sent events (WHATWG HTML, 9.2). An announcement only wakes the watcher, which then reads the
truth: an event may be the sum of two quick changes, but never a wrong one. While Redis is away it
looks by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import msgspec

from shortlist.ingest.errors import ApiError
from shortlist.ingest.http import NO_STORE, Stream
from shortlist.ingest.statuses import ApplicationStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shortlist.domain.application import ApplicationView
    from shortlist.ingest.http import Call
    from shortlist.ingest.reader import Reader
    from shortlist.ingest.statuses import Statuses
    from shortlist.storage.events import Announcements

_LOOK_SECONDS = 15.0
"""How often a watcher looks and says that it is there; below every usual idle time-out."""

_POLL_SECONDS = 1.0
"""How often it looks while nothing announces changes."""

_HEADERS = ((b"content-type", b"text/event-stream"), NO_STORE, (b"x-accel-buffering", b"no"))


class Watching:
    """All watchers of this process."""

    def __init__(self, statuses: Statuses, reader: Reader, announcements: Announcements) -> None:
        """``announcements`` must be running."""
        self._statuses = statuses
        self._reader = reader
        self._announcements = announcements
        self._ended = False

    async def events(self, call: Call) -> Stream:
        """The stream of one watcher; 404 when there is nothing to watch."""
        view = await self._statuses.view(call.scope["path_params"]["id"])
        return Stream(200, self._changes(view), _HEADERS)

    def end(self) -> None:
        """Have every stream end now; the browser's side comes back, to another process."""
        self._ended = True
        self._announcements.wake_all()

    async def _changes(self, view: ApplicationView) -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n" + _event(view)
        with self._announcements.watch(view.id) as changed:
            while not view.is_final and not self._ended:
                said_at = time.monotonic()
                newer = await self._next(view, changed, said_at + _LOOK_SECONDS)
                if newer is None:
                    yield b": still here\n\n"
                else:
                    view = newer
                    yield _event(view)

    async def _next(
        self, view: ApplicationView, changed: asyncio.Event, until: float
    ) -> ApplicationView | None:
        """What the application has changed to; None when it did not, or the stream is to end."""
        told = self._announcements.connected
        while not self._ended and (left := until - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left if told else min(left, _POLL_SECONDS)):
                    await changed.wait()
            changed.clear()
            told = self._announcements.connected
            try:
                newer = await self._reader.view(view.id)
            except ApiError:  # Postgres is away
                told = False
            else:
                if newer is not None and newer.status != view.status:
                    return newer
        return None


def _event(view: ApplicationView) -> bytes:
    return b"event: status\ndata: %b\n\n" % msgspec.json.encode(ApplicationStatus.of(view))
