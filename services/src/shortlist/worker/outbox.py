"""Tells Redis what happened: acknowledgements and status changes, many in one round trip.

No score waits for it, and nothing is lost with it: an entry whose acknowledgement did not arrive
is delivered again, its claim is refused because the application is finished, and it is
acknowledged then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shortlist.runtime import tasks
from shortlist.storage.redis import events
from shortlist.storage.trouble import Trouble

if TYPE_CHECKING:
    from shortlist.domain.line.application import ApplicationId, Status
    from shortlist.storage.redis import Redis
    from shortlist.storage.redis.line import Delivery, Line


class Outbox:
    """Sends what gathered while the last sending ran."""

    def __init__(self, redis: Redis, line: Line) -> None:
        """``line`` is where the deliveries came from."""
        self._redis = redis
        self._line = line
        self._acknowledged: list[Delivery] = []
        self._changes: list[tuple[ApplicationId, Status]] = []
        self._sending: asyncio.Task[None] | None = None
        self._trouble = Trouble("acknowledging", "redis")
        self.unacknowledged = False
        """An acknowledgement was dropped: the worker's own pending entries must be read again."""

    def acknowledge(self, delivery: Delivery) -> None:
        """Queue an acknowledgement: the line may forget this entry."""
        self._acknowledged.append(delivery)
        self._wake()

    def announce(self, application_id: ApplicationId, status: Status) -> None:
        """Queue a status change for watching clients."""
        self._changes.append((application_id, status))
        self._wake()

    async def flush(self) -> None:
        """Wait until everything queued so far was sent, or dropped because Redis is away."""
        while self._sending is not None:
            await asyncio.wait([self._sending])

    async def end(self) -> None:
        """Send nothing more: what was not sent is found again."""
        if self._sending is not None:
            await tasks.end([self._sending])

    def _wake(self) -> None:
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send())

    def _have_pending_read(self) -> None:
        """Have the puller find what stays delivered: the line would count it for ever."""
        self.unacknowledged = True

    async def _send(self) -> None:
        try:
            while self._acknowledged or self._changes:
                acknowledged, self._acknowledged = self._acknowledged, []
                changes, self._changes = self._changes, []
                try:
                    await self._line.acknowledge(acknowledged)
                    await events.announce(self._redis, self._line.pipeline, changes)
                    self._trouble.over()
                except Exception as error:  # nothing is lost with it
                    self._have_pending_read()
                    self._trouble.met(error)
        finally:
            self._sending = None
