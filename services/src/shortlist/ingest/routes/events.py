"""``GET /applications/{id}/events``: each change of status, until the final one.

Server-sent events (WHATWG HTML, 9.2). An announcement only wakes the watcher, which then reads the
truth: an event may be the sum of two quick changes, but never a wrong one. While Redis is away it
looks by itself.

An event's id says which state it tells. A client that comes back with the id of the last event it
got (``Last-Event-ID``) is not told the same again; and when that was the final one it gets 204,
which is how a browser is told not to come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from shortlist.http import sse
from shortlist.http.errors import unavailable
from shortlist.ingest.endpoint import NO_STORE, Stream, Verbatim
from shortlist.ingest.schemas import ApplicationStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shortlist.domain.line.application import ApplicationView
    from shortlist.http.connections import ConnectionTable
    from shortlist.ingest.endpoint import Call
    from shortlist.ingest.routes.application_reader import ApplicationReader
    from shortlist.ingest.routes.status import Statuses
    from shortlist.storage.redis.events import Announcements

_KEEPALIVE_SECONDS = 15.0
"""Between two events at most: a comment keeps the connection; below every usual idle time-out."""

_POLL_SECONDS = 1.0
"""Between two reads while nothing announces changes."""

_RETRY_MILLISECONDS = 1000
"""How soon a browser comes back after its stream ended: to be told 204, or by another process."""

_HEADERS = ((b"content-type", b"text/event-stream"), NO_STORE, (b"x-accel-buffering", b"no"))


class _GoneError(Exception):
    """There is no such application any more: removed, or Postgres was restored without it."""


class EventStreams:
    """Streams each change of an application's status to the clients that follow it."""

    def __init__(
        self,
        statuses: Statuses,
        reader: ApplicationReader,
        announcements: Announcements,
        connections: ConnectionTable,
    ) -> None:
        """``announcements`` must be running; ``connections`` bounds how many follow at once."""
        self._table = connections
        self._statuses = statuses
        self._reader = reader
        self._announcements = announcements
        self._ended = False

    async def get(self, call: Call) -> Stream | Verbatim:
        """Stream to one client; 404 for an unknown id, 204 when it knows the final status."""
        view = await self._statuses.view(call, call.scope["path_params"]["id"])
        known = call.headers.get(b"last-event-id", b"").decode("latin-1")
        if view.is_final and known == _id(view):
            return Verbatim(204, b"", (NO_STORE,))
        peer = call.scope["client"]
        watchers = self._table.begin_stream(peer and peer[0])
        if watchers is None:
            raise unavailable("Too many clients watch. Poll the status instead.")
        end = partial(self._table.end_stream, watchers)
        return Stream(200, self._changes(view, known), _HEADERS, end)

    def end(self) -> None:
        """Have every stream end now; the browser's side comes back, to another process."""
        self._ended = True
        self._announcements.wake_all()

    async def _changes(self, view: ApplicationView, known: str) -> AsyncIterator[bytes]:
        yield sse.retry(_RETRY_MILLISECONDS) + (b"" if known == _id(view) else _event(view))
        with self._announcements.watch(view.id) as changed, contextlib.suppress(_GoneError):
            while not view.is_final and not self._ended:
                sent_at = time.monotonic()
                newer = await self._next(view, changed, sent_at + _KEEPALIVE_SECONDS)
                if newer is None:
                    yield sse.comment("still here")
                else:
                    view = newer
                    yield _event(view)

    async def _next(
        self, view: ApplicationView, changed: asyncio.Event, until: float
    ) -> ApplicationView | None:
        """Wait for the next status; None when there is none in time, or the stream is to end."""
        is_announced = self._announcements.connected
        while not self._ended and (left := until - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left if is_announced else min(left, _POLL_SECONDS)):
                    await changed.wait()
            changed.clear()
            is_announced = self._announcements.connected
            try:
                newer = await self._reader.view(view.id)
            except Exception:  # it was logged; the stream goes on when it can be read
                is_announced = False
            else:
                if newer is None:
                    raise _GoneError
                if newer.status != view.status:
                    return newer
        return None


def _event(view: ApplicationView) -> bytes:
    return sse.event("status", msgspec.json.encode(ApplicationStatus.of(view)), _id(view))


def _id(view: ApplicationView) -> str:
    """Name the state that an event reports: a requeue and a new attempt make another one."""
    return f"{view.attempts}.{view.status}"
