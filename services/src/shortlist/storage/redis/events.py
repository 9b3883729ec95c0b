"""Status changes, published to watching clients by Redis pub/sub. A hint, like the line.

An announcement may be lost; a watcher reads the truth in Postgres each time it is woken, and now
and then without being woken.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.storage.redis import keys, new_subscription
from shortlist.storage.redis.connection_pool import is_left
from shortlist.storage.redis.scripts import SCRIPTS
from shortlist.storage.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from redis.asyncio.client import PubSub

    from shortlist.domain.hiring.placement import OpeningId
    from shortlist.domain.line.application import ApplicationId, PipelineName, Status
    from shortlist.storage.redis import Redis

_PING_SECONDS = 1.0
"""How long Redis may be silent before it is asked for a sign of life; as long again, and it is
taken for dead."""

_RECONNECT_SECONDS = 0.5

_OWN_CHANNEL = keys.events("-")
"""No process publishes here: a subscription must not be empty."""


async def announce(
    redis: Redis, pipeline: PipelineName, changes: Iterable[tuple[ApplicationId, Status]]
) -> None:
    """Tell the watchers of each application its new status, in one round trip.

    In a cluster the node that has the pipeline's line does it, for all nodes: no other pipeline's
    node need be there.
    """
    packed = " ".join([f"{keys.events(str(of))} {status}" for of, status in changes])
    if packed:
        await SCRIPTS["announce"].run(redis, [keys.line(pipeline)], packed)


async def announce_openings(redis: Redis, newest: Mapping[OpeningId, int]) -> None:
    """Tell who follows openings the newest sequence of each, in one round trip."""
    packed = " ".join([f"{keys.opening_events(of)} {sequence}" for of, sequence in newest.items()])
    if packed:
        await SCRIPTS["announce"].run(redis, [keys.line(DEFAULT_PIPELINE)], packed)


class Announcements:
    """All of a process's watchers on one Redis connection; `run` keeps it alive."""

    def __init__(self, redis: Redis) -> None:
        """Nothing is opened before `run`."""
        self._redis = redis
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._wanted: dict[str, bool] = {}  # channel → subscribe (or unsubscribe), not yet said
        self._something_wanted = asyncio.Event()
        self._trouble = Trouble("watching", "redis")
        self.connected = False
        """Whether announcements arrive; when not, watchers had better poll."""

    @property
    def watchers(self) -> int:
        """How many watch."""
        return sum(len(watchers) for watchers in self._watchers.values())

    @contextmanager
    def watch(self, application_id: ApplicationId) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever the truth about an application may have changed.

        Set from the beginning, and when the subscription starts to count, breaks, and comes back:
        who reads after each setting misses nothing. The watcher clears it.
        """
        with self._watch(keys.events(str(application_id)), asyncio.Event()) as changed:
            yield changed

    @contextmanager
    def watch_opening(self, opening_id: OpeningId, changed: asyncio.Event) -> Iterator[None]:
        """Have an event set whenever an opening may have new events; see `watch`."""
        with self._watch(keys.opening_events(opening_id), changed):
            yield

    @contextmanager
    def _watch(self, channel: str, changed: asyncio.Event) -> Iterator[asyncio.Event]:
        changed.set()
        watchers = self._watchers.setdefault(channel, set())
        if not watchers:
            self._want(channel, subscribe=True)
        watchers.add(changed)
        try:
            yield changed
        finally:
            watchers.discard(changed)
            if not watchers:
                del self._watchers[channel]
                self._want(channel, subscribe=False)

    def wake_all(self) -> None:
        """Have every watcher look."""
        for watchers in self._watchers.values():
            _wake(watchers)

    async def run(self) -> None:
        """Stay subscribed, for ever; whatever Redis does."""
        while True:
            try:
                await self._subscribe()
            except* Exception as errors:  # the next turn subscribes anew
                self._trouble.met(errors.exceptions[0])
            finally:
                self.connected = False
                self.wake_all()
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _subscribe(self) -> None:
        async with (
            await new_subscription(self._redis) as subscription,
            asyncio.TaskGroup() as tasks,
        ):
            self._wanted.clear()
            await subscription.subscribe(_OWN_CHANNEL, *self._watchers)
            tasks.create_task(self._read(subscription))
            tasks.create_task(self._write(subscription))

    async def _read(self, subscription: PubSub) -> None:
        silent = False
        while not _cancelled():
            message: dict[str, Any] | None = await subscription.get_message(timeout=_PING_SECONDS)
            if is_left(subscription.connection):
                raise ConnectionError("another server answers now")
            if message is None and silent:
                raise TimeoutError("Redis is silent")
            silent = message is None
            if message is None:
                await subscription.ping()
                continue
            self.connected = True
            self._trouble.over()
            _wake(self._watchers.get(message["channel"] or "", ()))

    async def _write(self, subscription: PubSub) -> None:
        while not _cancelled():
            await self._something_wanted.wait()
            self._something_wanted.clear()
            wanted, self._wanted = self._wanted, {}
            if new := [channel for channel, subscribe in wanted.items() if subscribe]:
                await subscription.subscribe(*new)
            if gone := [channel for channel, subscribe in wanted.items() if not subscribe]:
                await subscription.unsubscribe(*gone)

    def _want(self, channel: str, *, subscribe: bool) -> None:
        self._wanted[channel] = subscribe
        self._something_wanted.set()


def _cancelled() -> bool:
    """Python 3.11's `wait_for`, in redis-py, may swallow a cancellation; its count stays."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _wake(watchers: Iterable[asyncio.Event]) -> None:
    for changed in watchers:
        changed.set()
