"""Finds what is neither finished, held, scheduled nor in the line, and puts it back.

One `Sweep` for each pipeline, with what it remembers; `Sweeps` has them take turns, walks the
patrol, and saves the marks. The decisions are in `shortlist.domain.line.sweep`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from shortlist.domain.line.suspicion import is_suspect, why_convicted
from shortlist.domain.line.sweep import EVERYTHING, NOT_URGENT, NOTHING, Front, SweepMemory, Urgency
from shortlist.maintenance.agents.publish import batches, publish
from shortlist.maintenance.apart import Apart
from shortlist.storage.postgres.queries import recovery
from shortlist.storage.redis import events
from shortlist.storage.redis.line import Entry
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
        Iterator,
        Sequence,
    )
    from uuid import UUID

    from shortlist.domain.line.application import ApplicationId, PipelineName, WorkerId
    from shortlist.domain.line.sweep import Position, Seen, Verdicts, Waiting
    from shortlist.maintenance.agents.publish import Why
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.postgres.queries.recovery import Slice

INTERVAL_SECONDS = 2.0
"""Between two turns: what a dead worker held is found within the 2 s and 5 s that are promised, and
what a failover lost within the sum in `storage.watch`."""

SLICE = 10_000
"""Applications looked at by one statement: some 20 ms when all are finished."""

MOST_HELD = 20_000
"""Entries of one consumer that are read at most: many times what a worker may hold at once."""

_SCAN_BATCH = 2_000
_READ_BATCH = 2_000

_SAVE_SECONDS = 10.0
"""How often marks are saved: what a new leader scans is that much longer."""

_LONGEST_REST_SECONDS = 60.0
_REST_SHARE = 20
"""Between the end of a patrol and its next beginning it rests for so many times as long as it took,
and no longer than that; a slice of it is walked at each turn."""

log = structlog.get_logger(__name__)


class Sweep:
    """Sweeps one pipeline."""

    def __init__(self, desk: LeaderContext, pipeline: PipelineName, mark: UUID) -> None:
        """``mark``: where a former leader's sweep had come to."""
        self.pipeline = pipeline
        self.line = desk.line(pipeline)
        self.memory = SweepMemory(mark)
        self.republished = 0
        """How many applications this leader has put back, ever."""
        self.suspects: set[ApplicationId] = set()
        """Unfinished applications that are to be scored alone, or are."""
        self._desk = desk
        self._newest = NOTHING
        self._again_read_to: Position = (0, 0)
        self._line_is_known = False
        self._lock = asyncio.Lock()

    async def run(self, urgency: Urgency = NOT_URGENT) -> set[WorkerId]:
        """Examine all that may be lost; return the workers that hold something."""
        async with self._lock:
            await self._inspect_the_line(everything=urgency.everything)
        holders: set[WorkerId] = set()
        for ids in batches(sorted({*self.memory.watched(), *urgency.ids}), _SCAN_BATCH):
            holders |= await self._examine(ids, urgency)
        return holders | await self._scan(urgency)

    async def adopt(self, ids: Iterable[ApplicationId]) -> int:
        """Watch those that are this pipeline's and unfinished, unless they are known; how many."""
        unknown = self.memory.unknown(ids)
        if not unknown:
            return 0
        async with self._desk.connection() as connection:
            seen = await recovery.observe(connection, self.pipeline, unknown)
        self.memory.watch(one.id for one in seen)
        return len(seen)

    def start_anew(self) -> None:
        """Forget where entries stand: Redis has forgotten them too."""
        self.memory = SweepMemory(self.memory.mark())
        self._again_read_to = (0, 0)

    async def _inspect_the_line(self, *, everything: bool) -> None:
        """See how far both streams have come, before Postgres is asked about applications."""
        async with self._desk.connection() as connection:
            self._newest = await recovery.newest(connection)
        again, line = [await self.line.head(s) for s in (self.line.again, self.line.line)]
        await self._read_again(again)
        self.memory.front = self.memory.front.advanced(newest=self._newest, head=line)
        if everything:
            await self._read_line(everything=True)
        elif self.memory.front.id == NOTHING:
            await self._read_line()
        self.memory.delivered("again", None if again is None else again.position)
        self.memory.delivered("line", None if line is None else line.position)

    async def _read_again(self, head: Waiting | None) -> None:
        """Learn of the new entries of this stream, on which every process puts some."""
        if head is None:
            return
        start = max(self._again_read_to, head.position)
        async for entry in self._entries(self.line.again, start):
            self.memory.published("again", [(entry.position, entry.application_id)])
            self._again_read_to = _behind(entry.position)

    async def _read_line(self, *, everything: bool = False) -> None:
        """Learn what a former leader put back on ``line``, where it waits out of order.

        With ``everything``, learn of all that waits there, which is little: Redis has just lost its
        memory. Whatever else is unfinished is lost then, up to the newest.
        """
        head = await self.line.head(self.line.line)
        first_newcomer: UUID | None = None
        if head is not None:
            async for entry in self._entries(self.line.line, head.position):
                if entry.published_by is not None or everything:
                    self.memory.published("line", [(entry.position, entry.application_id)])
                elif first_newcomer is None:
                    first_newcomer = entry.application_id
        front = self._newest if everything or first_newcomer is None else first_newcomer
        self.memory.front = Front(max(self.memory.front.id, front), empty=head is None)
        self._line_is_known = True

    async def _entries(self, stream: str, start: Position) -> AsyncIterator[Waiting]:
        while True:
            entries = await self.line.entries_from(stream, start, _READ_BATCH)
            for entry in entries:
                yield entry
            if len(entries) < _READ_BATCH:
                return
            start = _behind(entries[-1].position)

    async def _scan(self, urgency: Urgency) -> set[WorkerId]:
        """Find the unfinished that are not known yet, slice by slice."""
        holders: set[WorkerId] = set()
        memory = self.memory
        after, front = memory.low_water, memory.front
        while self.memory is memory:  # else it was started anew, and so must be the scan
            async with self._desk.connection() as connection:
                found = await recovery.unfinished(
                    connection,
                    after=after,
                    up_to=front.reached,
                    claimed_above=EVERYTHING if urgency.everything else front.passed,
                    limit=SLICE,
                )
            for ids in batches(memory.unknown(found.unfinished), _SCAN_BATCH):
                holders |= await self._examine(ids, urgency)
            if found.last is not None:
                after = found.last
                memory.scanned(found.last)
            if found.scanned < SLICE:
                break
        return holders

    async def _examine(self, ids: Sequence[ApplicationId], urgency: Urgency) -> set[WorkerId]:
        """Examine some, act on what is lost; return the workers that hold any of them.

        Between two of these a rescue may come in: it need not wait for a long scan.
        """
        self._desk.goes_on()
        async with self._lock:
            late = self._desk.workers_may_be_late
            async with self._desk.connection() as connection:
                seen = await recovery.observe(connection, self.pipeline, ids)
            self.suspects -= set(ids)
            self.suspects |= {one.id for one in seen if is_suspect(one.abandoned - one.held)}
            now = time.monotonic()
            verdicts = self.memory.decide(ids, seen, now=now, urgency=urgency, late=late)
            await self._act(verdicts, urgency)
        return {one.worker_id for one in seen if one.held and one.worker_id is not None}

    async def _act(self, verdicts: Verdicts, urgency: Urgency) -> None:
        for one in verdicts.poisoned:
            await self._fail(one)
        restoring = urgency.everything
        claimed = [one for one in verdicts.lost if one.attempt]
        await self._put_back(claimed, "redis_lost" if restoring else "abandoned", first=True)
        newcomers = [one for one in verdicts.lost if not one.attempt]
        if newcomers and not self._line_is_known:
            await self._read_line()
            newcomers = [one for one in newcomers if not self.memory.waits(one.id)]
        given = [one for one in newcomers if one.id in urgency.ids]  # to a worker that died
        await self._put_back(given, "abandoned", first=True)
        rest = [one for one in newcomers if one.id not in urgency.ids]
        await self._put_back(rest, "redis_lost" if restoring else "unpublished", first=False)

    async def _put_back(self, lost: list[Seen], why: Why, *, first: bool) -> None:
        for batch in batches(lost):
            entries = [Entry(one.id, one.traceparent) for one in batch]
            async with self._desk.writing():
                positions = await publish(self.line, entries, why=why, first=first)
                self.memory.put_back(batch, time.monotonic())
                if not first:  # what stands on `again` is read there by the next look
                    ids = [one.id for one in batch]
                    self.memory.published("line", zip(positions, ids, strict=True))
            self.republished += len(batch)
        if lost:
            log.info("put_back", pipeline=self.pipeline, why=why, applications=len(lost))

    async def _fail(self, seen: Seen) -> None:
        reason = why_convicted(abandoned=seen.abandoned, alone=seen.alone)
        async with self._desk.writing() as connection:
            counted = await recovery.fail(
                connection, seen, self.pipeline, reason=reason, actor=self._desk.actor
            )
        if counted:
            self.suspects.discard(seen.id)
            log.warning("failed", application=str(seen.id), reason=reason)
            metrics.COMPLETED.labels(self.pipeline, "failed").inc()
            metrics.POISONOUS.labels(self.pipeline).inc()
            await events.announce(self._desk.redis, self.pipeline, [(seen.id, "failed")])


def _behind(position: Position) -> Position:
    return position[0], position[1] + 1


class Sweeps:
    """The sweeps of all pipelines."""

    def __init__(self, desk: LeaderContext) -> None:
        """Pipelines are looked up at each turn."""
        self._desk = desk
        self._sweeps: dict[PipelineName, Sweep] = {}
        self._apart = Apart("sweep")
        self._saved_at = time.monotonic()
        self._patrolled_to = NOTHING
        self._patrol_at = 0.0
        self._patrol_seconds = 0.0

    def __iter__(self) -> Iterator[Sweep]:
        """Yield those of the pipelines that are known."""
        return iter(list(self._sweeps.values()))

    async def of(self, pipeline: PipelineName) -> Sweep | None:
        """Return the sweep of a pipeline; None for one that does not exist."""
        if pipeline not in self._sweeps:
            await self.learn_pipelines()
        return self._sweeps.get(pipeline)

    async def learn_pipelines(self) -> None:
        """Have a sweep for each pipeline that there is."""
        async with self._desk.connection() as connection:
            known = await recovery.pipelines(connection)
        new = [
            Sweep(self._desk, pipeline.name, pipeline.swept_to)
            for pipeline in known
            if pipeline.name not in self._sweeps
        ]
        self._sweeps |= {sweep.pipeline: sweep for sweep in new}
        # Where that fails, it is done when what the line lacks is published.
        await self._apart.each(new, lambda sweep: sweep.line.ensure_group())

    async def turn(self, restore_if_lost: Callable[[Sweep], Awaitable[None]]) -> None:
        """Do one turn of the agent: sweep, walk a slice of the patrol, save marks now and then.

        ``restore_if_lost`` sees to it that Redis has not lost a pipeline's memory, before its sweep
        relies on that.
        """

        async def step(sweep: Sweep) -> None:
            await restore_if_lost(sweep)
            await sweep.run()

        await self._apart.each(self, step)
        await self._patrol()
        if time.monotonic() - self._saved_at >= _SAVE_SECONDS:
            await self._save_marks()

    async def _patrol(self) -> None:
        """Patrol where everything should be finished, bit by bit, from the oldest to the marks.

        It finds what nothing else can: rows committed much later than newer ones, by a host whose
        clock is wrong or after a stall, and whatever a bug left behind.
        """
        if time.monotonic() < self._patrol_at or not self._sweeps:
            return
        began = time.monotonic()
        bound = min(sweep.memory.low_water for sweep in self)
        found = await self._adopt_strangers(after=self._patrolled_to, up_to=bound)
        self._patrolled_to = found.last or NOTHING
        self._patrol_seconds += time.monotonic() - began
        if found.scanned < SLICE:
            await self._inspect_odd_ids()
            self._patrolled_to = NOTHING
            rest_seconds = min(_LONGEST_REST_SECONDS, _REST_SHARE * self._patrol_seconds)
            self._patrol_at = time.monotonic() + rest_seconds
            self._patrol_seconds = 0.0

    async def _inspect_odd_ids(self) -> None:
        """Those that no sweep comes to, as it follows no time that has not come."""
        async with self._desk.connection() as connection:
            first = await recovery.first_odd(connection)
        await self._adopt_strangers(after=first, up_to=EVERYTHING)

    async def _adopt_strangers(self, *, after: UUID, up_to: UUID) -> Slice:
        """Watch what is unfinished in a slice of ids and known to no sweep."""
        async with self._desk.connection() as connection:
            found = await recovery.unfinished(
                connection, after=after, up_to=up_to, claimed_above=up_to, limit=SLICE
            )
        strangers = found.unfinished
        for sweep in self:
            strangers = sweep.memory.unknown(strangers)
        adopted = sum([await sweep.adopt(strangers) for sweep in self])
        if adopted:
            log.warning("patrol_found", applications=adopted, after=str(after))
        return found

    async def _save_marks(self) -> None:
        async with self._desk.writing() as connection:
            for sweep in self:
                await recovery.save_mark(connection, sweep.pipeline, sweep.memory.mark())
        self._saved_at = time.monotonic()
