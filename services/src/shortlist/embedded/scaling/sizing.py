"""Keeps the sum of all workers' connections within the budget, each second.

The arithmetic is `shortlist.domain.sizing.grants`; here it meets what was observed. All pipelines
share one Postgres, and so one allocation. Without a fresh reading of both servers, the grants stay.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

from shortlist.domain.sizing.grants import allocate, holder_of, split_budget
from shortlist.storage.redis import heartbeats

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shortlist.domain.line.application import PipelineName
    from shortlist.domain.sizing.grants import Grant, Holder
    from shortlist.domain.sizing.pipeline import ScoringPipeline
    from shortlist.embedded.scaling.observer import Observer
    from shortlist.embedded.supervision.child import Child
    from shortlist.storage.redis.heartbeats import Heartbeat
    from shortlist.storage.snapshots import LineSnapshot

_POLL_INTERVAL_SECONDS = 0.1


class Sizing:
    """Grants connections to workers, and lets new ones in when there are connections for them."""

    def __init__(
        self, observer: Observer, pipelines: Mapping[PipelineName, ScoringPipeline]
    ) -> None:
        """``observer`` must have read Postgres once before `budget` is asked for."""
        self._observer = observer
        self._pipelines = pipelines
        self._admitted: dict[str, tuple[Child, int]] = {}
        self._waiting: dict[str, int] = {}

    @property
    def budget(self) -> int:
        """B: what all workers together may hold, by the limits that were last read."""
        assert self._observer.connections is not None
        reserved = max(pipeline.connections.reserved for pipeline in self._pipelines.values())
        return self._observer.connections.budget(reserved)

    def split(self, wanted: Mapping[PipelineName, int]) -> Mapping[PipelineName, int | None]:
        """Return the budget that each pipeline's policy is told; None while Postgres is unread."""
        if not self._observer.sees_connections:
            return dict.fromkeys(wanted)
        return split_budget(self.budget, wanted)

    async def admit(self, child: Child, pipeline: ScoringPipeline) -> None:
        """Wait until a worker that is about to start can have its first connections."""
        self._admitted.pop(child.name, None)
        first = pipeline.connections.first_grant
        self._waiting[child.name] = first
        try:
            while self._held() + first > self.budget and not child.is_leaving:  # noqa: ASYNC110 (other processes' connections)
                await asyncio.sleep(_POLL_INTERVAL_SECONDS)
        finally:
            del self._waiting[child.name]
        self._admitted[child.name] = (child, first)

    async def publish(self, expected: int = 0) -> int:
        """Tell workers their grants where these change, and forget workers that are gone.

        ``expected``: connections that are wanted for workers to be started now. Returns how many
        there are for them; none while Postgres cannot be read.
        """
        if not self._observer.sees_connections:
            return 0
        waiting = sum(self._waiting.values())
        allocation = allocate(
            self.budget,
            list(self._holders()),
            elsewhere=self._held_elsewhere(),
            expected=expected + waiting,
        )
        await self._publish_grants(allocation.publish)
        return max(0, allocation.free - waiting)

    async def _publish_grants(self, publish: Mapping[str, Grant]) -> None:
        redis = self._observer.redis
        for name in self._observer.seen:
            snapshot = self._observer.lines[name]
            ours = {beat.worker_id for beat in snapshot.beats} & publish.keys()
            grants = {worker: publish[worker] for worker in ours}
            await heartbeats.publish_grants(redis, name, grants)
            snapshot.grants.update(grants)
            for beat in snapshot.beats:
                if not self._is_here(beat, snapshot):
                    await heartbeats.leave(redis, name, beat.worker_id)

    def _held(self) -> int:
        return self._held_elsewhere() + sum(holder.held for holder in self._holders())

    def _holders(self) -> Iterator[Holder]:
        for name, snapshot in self._observer.lines.items():
            for beat in snapshot.beats:
                if self._is_here(beat, snapshot):
                    yield holder_of(
                        heartbeats.as_worker(beat, self._observer.counted(beat.worker_id)),
                        self._pipelines[name],
                        reported=beat.grant,
                        epoch=beat.epoch,
                        standing=snapshot.grants.get(beat.worker_id),
                    )

    def _held_elsewhere(self) -> int:
        """Count connections of workers that do not report: gone, or not here yet."""
        assert self._observer.connections is not None
        holders = {holder.worker_id for holder in self._holders()}
        counted = self._observer.connections.open_by_worker
        gone = sum(n for worker, n in counted.items() if worker not in holders)
        return gone + self._unreported()

    def _unreported(self) -> int:
        """Count what workers need that were let in and have not reported yet."""
        lines = self._observer.lines.values()
        reported = {beat.pid for snapshot in lines for beat in snapshot.beats}
        return sum(
            first
            for child, first in self._admitted.values()
            if child.pid not in reported and not child.done
        )

    def _is_here(self, beat: Heartbeat, snapshot: LineSnapshot) -> bool:
        """Tell whether a worker lives, or its connections do."""
        if self._observer.counted(beat.worker_id):
            return True
        if beat.host == socket.gethostname():
            return _is_alive(beat.pid)
        return beat.worker_id not in snapshot.stale


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
