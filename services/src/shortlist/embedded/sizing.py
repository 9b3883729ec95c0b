"""Keeps the sum of all workers' connections within the budget, each second.

The arithmetic is `shortlist.domain.grants`; here it meets what was observed. All pipelines share
one Postgres, and so one allocation. Without a fresh look at both servers, the grants stay.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING

from shortlist.domain.connections import connections_wanted
from shortlist.domain.grants import Holder, allocate
from shortlist.embedded.processes import first_connections
from shortlist.storage import heartbeats

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shortlist.domain.application import PipelineName
    from shortlist.domain.grants import Grant
    from shortlist.domain.pipeline import ScoringPipeline
    from shortlist.embedded.child import Child
    from shortlist.embedded.observe import Observer
    from shortlist.storage.heartbeats import Heartbeat

_LOOK_AGAIN_SECONDS = 0.1


class Sizing:
    """Grants connections to workers, and lets new ones in when there are connections for them."""

    def __init__(
        self, observer: Observer, pipelines: Mapping[PipelineName, ScoringPipeline]
    ) -> None:
        """``observer`` must have looked at Postgres once before `budget` is asked for."""
        self._observer = observer
        self._pipelines = pipelines
        self._admitted: dict[str, tuple[Child, int]] = {}

    @property
    def budget(self) -> int:
        """B: what all workers together may hold, by the limits that were last read."""
        assert self._observer.limits is not None
        reserved = max(pipeline.connections.reserved for pipeline in self._pipelines.values())
        return self._observer.limits.budget(reserved)

    async def admit(self, child: Child, pipeline: ScoringPipeline) -> None:
        """Wait until a worker that is about to start can have its first connections."""
        self._admitted.pop(child.name, None)
        first = first_connections(pipeline)
        while self._held() + first > self.budget:  # noqa: ASYNC110 (other processes' connections)
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        self._admitted[child.name] = (child, first)

    async def publish(self) -> None:
        """Tell workers their grants where these change, and forget workers that are gone."""
        publish = allocate(
            self.budget, list(self._holders()), elsewhere=self._held_elsewhere()
        ).publish
        for name, beats in self._observer.beats.items():
            ours = {beat.worker_id for beat in beats} & publish.keys()
            await self._publish(name, {worker: publish[worker] for worker in ours})
            for beat in beats:
                if not self._is_here(beat):
                    await heartbeats.leave(self._observer.redis, name, beat.worker_id)

    async def _publish(self, name: PipelineName, grants: dict[str, Grant]) -> None:
        await heartbeats.publish_grants(self._observer.redis, name, grants)
        self._observer.grants[name].update(grants)

    def _held(self) -> int:
        return self._held_elsewhere() + sum(holder.held for holder in self._holders())

    def _holders(self) -> Iterable[Holder]:
        for name, beats in self._observer.beats.items():
            for beat in beats:
                if self._is_here(beat):
                    yield self._holder(name, beat)

    def _holder(self, name: PipelineName, beat: Heartbeat) -> Holder:
        connections = self._pipelines[name].connections
        counted = self._observer.open_by_worker.get(beat.worker_id, 0)
        return Holder(
            worker_id=beat.worker_id,
            least=connections.overhead_per_worker,
            wanted=connections_wanted(
                concurrency=self._pipelines[name].worker.concurrency,
                overhead=connections.overhead_per_worker,
                mode=connections.mode,
            ),
            reported=beat.grant,
            epoch=beat.epoch,
            open=max(beat.open_connections, counted),
            standing=self._observer.grants.get(name, {}).get(beat.worker_id),
        )

    def _held_elsewhere(self) -> int:
        """Connections of workers that do not report: gone, or not here yet."""
        holders = {holder.worker_id for holder in self._holders()}
        gone = sum(n for w, n in self._observer.open_by_worker.items() if w not in holders)
        return gone + self._unreported()

    def _unreported(self) -> int:
        """What workers need that were let in and have not reported yet."""
        reported = {beat.pid for beats in self._observer.beats.values() for beat in beats}
        return sum(
            first
            for child, first in self._admitted.values()
            if child.pid not in reported and not child.done
        )

    def _is_here(self, beat: Heartbeat) -> bool:
        """Whether a worker lives, or its connections do."""
        if self._observer.open_by_worker.get(beat.worker_id):
            return True
        if beat.host == socket.gethostname():
            return _is_alive(beat.pid)
        return time.time() - beat.at <= heartbeats.STALE_AFTER_SECONDS


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
