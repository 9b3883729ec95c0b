"""The line of one pipeline: two Redis streams and a consumer group.

``again`` (retries, rescues, what was given back) is read before ``line`` (newcomers). An entry
is deleted when it is acknowledged, so the streams hold what waits and what is in flight, nothing
else. Nothing here is the truth: entries may be lost or doubled, and the claim in Postgres decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from shortlist.domain.line.application import ApplicationId, PipelineName
from shortlist.domain.line.sweep import Position, Waiting
from shortlist.storage.faults import is_missing
from shortlist.storage.redis import keys
from shortlist.storage.redis.scripts import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shortlist.storage.redis import Redis


@dataclass(frozen=True, slots=True)
class Entry:
    """What is put on a stream: the application's id, and its trace when one is recorded."""

    application_id: ApplicationId
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Consumer:
    """One reader of a stream; ``idle_seconds`` since it last asked for anything."""

    name: str
    pending: int
    idle_seconds: float


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry that this consumer was given and has not acknowledged."""

    stream: str
    entry_id: str
    application_id: ApplicationId
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Depth:
    """How many entries wait for a worker, and how many are delivered and not acknowledged."""

    waiting: int
    delivered: int

    @property
    def total(self) -> int:
        """Everything that was published and is not done."""
        return self.waiting + self.delivered


class Line:
    """The line of one pipeline. `storage.faults` says whose trouble an error is."""

    def __init__(self, redis: Redis, pipeline: PipelineName) -> None:
        """``redis``'s time-out must be longer than the longest ``block_seconds`` of `pull`."""
        self._redis = redis
        self.pipeline = pipeline
        self.line = keys.line(pipeline)
        self.again = keys.again(pipeline)

    async def ensure_group(self) -> None:
        """Make the streams and their group where they are missing, from the first entry on."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for stream in (self.line, self.again):
                pipe.xgroup_create(stream, keys.GROUP, id="0", mkstream=True)
            replies = await pipe.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception) and not str(reply).startswith("BUSYGROUP"):
                raise reply

    async def publish(self, entries: Sequence[Entry]) -> Depth:
        """Add newly accepted applications in one round trip; tells the depth after it."""
        streams = self.line, self.again, keys.submissions(self.pipeline)
        fields = keys.GROUP, keys.ENTRY_ID, keys.ENTRY_TRACEPARENT
        packed = " ".join([f"{e.application_id},{e.traceparent or ''}" for e in entries])
        waiting, delivered = await SCRIPTS["publish"].run(self._redis, streams, *fields, packed)
        return Depth(waiting, delivered)

    async def republish(self, entries: Sequence[Entry], *, by: str, first: bool) -> list[Position]:
        """Put entries back, ``first`` before all newcomers, or else behind them."""
        stream = self.again if first else self.line
        async with self._redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                pipe.xadd(stream, cast("Any", _fields(entry) | {keys.ENTRY_PUBLISHED_BY: by}))
            return [_position(entry_id) for entry_id in await pipe.execute()]

    async def pull(self, consumer: str, count: int, block_seconds: float) -> list[Delivery]:
        """Take up to ``count`` entries, those of ``again`` first; waits at most ``block_seconds``.

        May return up to twice ``count`` when both streams get entries in the same moment.
        """
        urgent = await self._read(consumer, [self.again], count, None)
        if urgent:
            return urgent
        milliseconds = max(1, int(block_seconds * 1000))
        return await self._read(consumer, [self.again, self.line], count, milliseconds)

    async def _read(
        self, consumer: str, streams: list[str], count: int, block: int | None
    ) -> list[Delivery]:
        try:
            reply = await self._redis.xreadgroup(
                keys.GROUP, consumer, dict.fromkeys(streams, ">"), count=count, block=block
            )
        except Exception as error:
            if not is_missing(error):
                raise
            await self.ensure_group()  # Redis lost its memory
            return []
        return [
            _delivery(stream, entry_id, fields)
            for stream, entries in cast("list[Any]", reply or [])
            for entry_id, fields in entries
        ]

    async def delivered_to(self, consumer: str) -> list[Delivery]:
        """Read what this consumer was given and has not acknowledged, if it still exists."""
        deliveries: list[Delivery] = []
        for stream in (self.again, self.line):
            try:
                reply = await self._redis.xreadgroup(keys.GROUP, consumer, {stream: "0"})
            except Exception as error:
                if not is_missing(error):
                    raise
                await self.ensure_group()
                continue
            for _, entries in cast("list[Any]", reply or []):
                gone = [entry_id for entry_id, fields in entries if not fields]
                await self.forget({stream: gone} if gone else {})
                deliveries += [_delivery(stream, e, fields) for e, fields in entries if fields]
        return deliveries

    async def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        """Forget entries, in one round trip."""
        by_stream: dict[str, list[str]] = {}
        for delivery in deliveries:
            by_stream.setdefault(delivery.stream, []).append(delivery.entry_id)
        await self.forget(by_stream)

    async def forget(self, entry_ids: dict[str, list[str]]) -> None:
        """Acknowledge and delete entries, given by stream."""
        if not entry_ids:
            return
        async with self._redis.pipeline(transaction=False) as pipe:
            for stream, ids in entry_ids.items():
                pipe.xack(stream, keys.GROUP, *ids)
                pipe.xdel(stream, *ids)
            await pipe.execute()

    async def depth(self) -> Depth:
        """Return how many wait and how many are delivered, both streams together."""
        async with self._redis.pipeline(transaction=False) as pipe:
            self._ask_depth(pipe)
            return _depth(await pipe.execute(raise_on_error=False))

    async def submissions(self) -> int:
        """Return the monotone count of applications that ingest put on the line."""
        return int(await self._redis.get(keys.submissions(self.pipeline)) or 0)

    async def server_seconds(self) -> float:
        """Return the time by Redis's clock, which is that of entries' ids; Unix seconds.

        By a script, which in a cluster runs on the node that has the line: `TIME` runs on any.
        """
        seconds, microseconds = await SCRIPTS["time"].run(self._redis, [self.line])
        return float(seconds) + float(microseconds) / 1e6

    async def head(self, stream: str) -> Waiting | None:
        """Read the entry that the next reader of a stream is given; None when nothing waits."""
        last = await self._last_delivered(stream)
        start = "-" if last is None else f"({last}"
        return next(iter(await self._range(stream, start, 1)), None)

    async def entries_from(self, stream: str, position: Position, count: int) -> list[Waiting]:
        """Read entries at and behind a position, delivered or not, at most ``count``."""
        return await self._range(stream, "{}-{}".format(*position), count)

    async def consumers(self, stream: str) -> list[Consumer]:
        """List workers that ever read a stream and were not dropped."""
        try:
            infos = await self._redis.xinfo_consumers(stream, keys.GROUP)
        except Exception as error:
            if not is_missing(error):
                raise
            return []
        return [Consumer(i["name"], int(i["pending"]), int(i["idle"]) / 1000) for i in infos]

    async def pending(
        self,
        stream: str,
        *,
        consumer: str | None = None,
        idle_seconds: float = 0,
        count: int = 1000,
    ) -> list[tuple[str, ApplicationId | None]]:
        """Read entries delivered and not acknowledged, oldest first, at most ``count``.

        Each with its application; None where the entry itself is gone.
        """
        try:
            infos = await self._redis.xpending_range(
                stream,
                keys.GROUP,
                min="-",
                max="+",
                count=count,
                consumername=consumer,
                idle=int(idle_seconds * 1000) or None,
            )
        except Exception as error:
            if not is_missing(error):
                raise
            return []
        entry_ids = [str(info["message_id"]) for info in infos]
        async with self._redis.pipeline(transaction=False) as pipe:
            for entry_id in entry_ids:
                pipe.xrange(stream, min=entry_id, max=entry_id)
            found = await pipe.execute() if entry_ids else []
        return [
            (entry_id, ApplicationId(UUID(entries[0][1][keys.ENTRY_ID])) if entries else None)
            for entry_id, entries in zip(entry_ids, found, strict=True)
        ]

    async def _last_delivered(self, stream: str) -> str | None:
        """Return the newest entry id that any consumer was given; None without a group."""
        try:
            groups = await self._redis.xinfo_groups(stream)
        except Exception as error:
            if not is_missing(error):
                raise
            return None
        return next((g["last-delivered-id"] for g in groups if g["name"] == keys.GROUP), None)

    async def _range(self, stream: str, start: str, count: int) -> list[Waiting]:
        reply = await self._redis.xrange(stream, min=start, max="+", count=count)
        return [
            Waiting(
                _position(entry_id),
                ApplicationId(UUID(fields[keys.ENTRY_ID])),
                fields.get(keys.ENTRY_PUBLISHED_BY),
            )
            for entry_id, fields in cast("list[tuple[str, dict[str, str]]]", reply)
        ]

    async def forget_consumer(self, stream: str, consumer: str) -> int:
        """Drop a dead consumer and its entries (how many): Postgres knows what it held."""
        forgotten = 0
        try:
            while pending := await self._redis.xpending_range(
                stream, keys.GROUP, min="-", max="+", count=1000, consumername=consumer
            ):
                await self.forget({stream: [str(item["message_id"]) for item in pending]})
                forgotten += len(pending)
            await self._redis.xgroup_delconsumer(stream, keys.GROUP, consumer)
        except Exception as error:
            if not is_missing(error):
                raise
        return forgotten

    def _ask_depth(self, pipe: Any) -> None:
        for stream in (self.line, self.again):
            pipe.xlen(stream)
            pipe.xpending(stream, keys.GROUP)


def _position(entry_id: str) -> Position:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)


def _fields(entry: Entry) -> dict[str, str]:
    fields = {keys.ENTRY_ID: str(entry.application_id)}
    if entry.traceparent:
        fields[keys.ENTRY_TRACEPARENT] = entry.traceparent
    return fields


def _delivery(stream: str, entry_id: str, fields: dict[str, str]) -> Delivery:
    application_id = ApplicationId(UUID(fields[keys.ENTRY_ID]))
    return Delivery(stream, entry_id, application_id, fields.get(keys.ENTRY_TRACEPARENT))


def _depth(replies: list[Any]) -> Depth:
    """Read XLEN, XPENDING pairs; a group that is not there yet has delivered nothing."""
    for reply in replies:
        if isinstance(reply, Exception) and not is_missing(reply):
            raise reply
    lengths = sum(reply for reply in replies[::2] if isinstance(reply, int))
    delivered = sum(reply["pending"] for reply in replies[1::2] if isinstance(reply, dict))
    return Depth(waiting=max(0, lengths - delivered), delivered=delivered)
