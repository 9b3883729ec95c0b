"""Live events: of an opening, or of all of an applicant's applications.

What is followed in this process is looked at once a second by one query, and at once when a commit
is announced: by this process itself, or by another one through Redis. New events are read once,
however many clients follow.

An event's number is its sequence in an opening, and its id for an applicant. Ids of two openings
may be committed in another order than they were given: so what is new of an applicant is looked
for some way back, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import structlog
from pydantic_core import to_json

from shortlist.domain.errors import message_of
from shortlist.domain.hiring.placement import ApplicantId, OpeningId
from shortlist.http import sse
from shortlist.runtime.tasks import Tasks, wait_until_set
from shortlist.storage.postgres.queries.hiring.reading import event_feed
from shortlist.storage.redis import events
from shortlist.storage.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping

    from shortlist.hiring.reading import Views
    from shortlist.storage.postgres.database import Database
    from shortlist.storage.redis import Redis
    from shortlist.storage.redis.events import Announcements

_POLL_SECONDS = 1.0
"""Between two looks while nothing is announced."""

_LEAST_SECONDS = 0.1
"""Between two looks, however much is announced: many commits a second are one look."""

_HEARTBEAT_SECONDS = 15.0
"""Between two signs of life of a stream at most; below every usual idle time-out."""

_RETRY_MILLISECONDS = 1000

_BACK = 1_000
"""Ids that are looked at again: more than are given while one transaction commits."""

_AT_ONCE = 1_000
"""Events that are read by one query, beyond `_BACK`."""

_KEPT = 256
"""The newest events of what is followed, as bytes: some 100 kB."""

_log = structlog.get_logger(__name__)

Told: TypeAlias = "tuple[int, bytes]"
"""An event's number, and the event as it is sent."""


class Topic(NamedTuple):
    """What a client follows."""

    of: Literal["opening", "applicant"]
    id: int


@dataclass(slots=True)
class _Followed:
    """What was told of a topic since its first client came.

    Attributes:
        after: the number that the first client knew; what is new has a higher one, or is late.
        version: of the topic, when it was looked at last; another one: there is something new.
        known: the numbers of the newest events, told or older than the first client.
        told: the last of them; the first of these was number ``start`` of all.
    """

    after: int
    version: int = -1
    known: set[int] = field(default_factory=set)
    told: deque[Told] = field(default_factory=deque)
    start: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    announced: ExitStack = field(default_factory=ExitStack)
    followers: int = 0

    @property
    def end(self) -> int:
        return self.start + len(self.told)

    def learn(self, version: int, read: list[Told]) -> None:
        """Keep what is new of the newest events, and wake those who follow."""
        is_first = self.version < 0
        new = [one for one in read if one[0] not in self.known]
        self.told.extend(one for one in new if one[0] > self.after or not is_first)
        self.known.update(number for number, _ in read)
        if read:
            self.after = max(self.after, read[-1][0])
            self.known = {number for number in self.known if number > self.after - _BACK}
        while len(self.told) > _KEPT:
            self.told.popleft()
            self.start += 1
        self.version = version
        self.wake()

    def since(self, position: int) -> list[Told]:
        return list(self.told)[position - self.start :]

    def wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class EventFeed:
    """Tells the clients that follow an opening or an applicant each new event."""

    def __init__(
        self, database: Database, views: Views, announcements: Announcements, redis: Redis
    ) -> None:
        """``announcements`` must be running; `run` does the rest."""
        self._database = database
        self._views = views
        self._announcements = announcements
        self._redis = redis
        self._followed: dict[Topic, _Followed] = {}
        self._look_now = asyncio.Event()
        self._committed: dict[OpeningId, int] = {}
        self._has_committed = asyncio.Event()
        self._ended = False
        self._trouble = Trouble("announcing events", "redis")

    @property
    def followers(self) -> int:
        """Count the streams."""
        return sum(followed.followers for followed in self._followed.values())

    def committed(self, newest: Mapping[OpeningId, int]) -> None:
        """Take note of a commit of this process: the newest sequence of each opening."""
        self._committed.update(newest)
        self._has_committed.set()
        self._look_now.set()

    def end(self) -> None:
        """Have every stream end now: its client comes back, to another process."""
        self._ended = True
        for followed in self._followed.values():
            followed.wake()

    async def run(self) -> None:
        """Look for new events, and announce this process's own, for ever."""
        async with AsyncExitStack() as stack:
            tasks = Tasks()
            stack.push_async_callback(tasks.end)
            tasks.start(self._keep_looking())
            tasks.start(self._keep_announcing())
            await tasks.first()

    async def newest(self, topic: Topic) -> int:
        """Return the number of the newest event; 0 when there is none."""
        (found,) = (await self._heads([topic])).values()
        return found.newest

    async def stream(self, topic: Topic, after: int) -> AsyncGenerator[bytes, None]:
        """Yield each event with a number above ``after``, as it comes, and heartbeats.

        ``after`` is not above `newest`.
        """
        yield sse.retry(_RETRY_MILLISECONDS)
        sent: deque[int] = deque(maxlen=_BACK + _AT_ONCE)
        with self._following(topic, after) as followed:
            position, is_behind = followed.end, True
            while not self._ended:
                changed = followed.changed
                if is_behind or position < followed.start:
                    position = followed.end
                    told = await self._read(topic, after)
                    is_behind = len(told) >= _AT_ONCE
                else:
                    told, position = followed.since(position), followed.end
                for number, event in told:
                    if number not in sent:
                        yield event
                        sent.append(number)
                        after = max(after, number)
                if not told and not await wait_until_set(changed, _HEARTBEAT_SECONDS):
                    yield sse.comment("still here")

    @contextmanager
    def _following(self, topic: Topic, after: int) -> Iterator[_Followed]:
        followed = self._followed.get(topic)
        if followed is None:
            followed = self._followed[topic] = _Followed(after)
            if topic.of == "opening":
                announced = self._announcements.watch_opening(OpeningId(topic.id), self._look_now)
                followed.announced.enter_context(announced)
            self._look_now.set()
        followed.followers += 1
        try:
            yield followed
        finally:
            followed.followers -= 1
            if not followed.followers:
                followed.announced.close()
                del self._followed[topic]

    async def _keep_looking(self) -> None:
        while True:
            await wait_until_set(self._look_now, _POLL_SECONDS)
            self._look_now.clear()
            if self._followed:
                try:
                    await self._look()
                except Exception as error:  # the next look is soon
                    _log.warning("events_not_read", error=message_of(error))
            await asyncio.sleep(_LEAST_SECONDS)

    async def _look(self) -> None:
        """Read what is new of all that is followed."""
        for topic, head in (await self._heads(self._followed)).items():
            followed = self._followed.get(topic)
            if followed is not None and head.version != followed.version:
                back = _BACK if topic.of == "applicant" else 0
                told = await self._read(topic, max(0, followed.after - back))
                followed.learn(head.version, told)

    async def _heads(self, topics: Iterable[Topic]) -> dict[Topic, event_feed.Head]:
        openings = [OpeningId(topic.id) for topic in topics if topic.of == "opening"]
        applicants = [ApplicantId(topic.id) for topic in topics if topic.of == "applicant"]
        found = await self._database.read(
            lambda connection: event_feed.heads(connection, openings, applicants)
        )
        return {Topic(head.of, head.id): head for head in found}

    async def _read(self, topic: Topic, after: int) -> list[Told]:
        read, limit = self._views.events, _BACK + _AT_ONCE
        if topic.of == "opening":
            found = await read(opening_id=OpeningId(topic.id), after=after, limit=limit)
            return [_told(event.sequence, event) for event in found]
        found = await read(applicant_id=ApplicantId(topic.id), after=after, limit=limit)
        return [_told(event.id, event) for event in found]

    async def _keep_announcing(self) -> None:
        """Tell the other processes; what is followed there is looked at each second without it."""
        while True:
            await self._has_committed.wait()
            self._has_committed.clear()
            committed, self._committed = self._committed, {}
            try:
                await events.announce_openings(self._redis, committed)
            except Exception as error:
                self._trouble.met(error)
            else:
                self._trouble.over()


def _told(number: int, event: object) -> Told:
    """Write an event; one without a name of its own is `message` to a browser."""
    return number, sse.event("message", to_json(event, by_alias=True), str(number))
