"""Keeps the sum of all workers' connections within the budget, each second.

The arithmetic is in `shortlist.embedded.grants`; here it meets what was observed. Without a fresh
look at both Postgres and Redis, the grants stay as they are.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING

from shortlist.embedded.grants import (
    Member,
    least_connections,
    next_grants,
    wanted_connections,
)
from shortlist.storage import heartbeats
from shortlist.storage.heartbeats import Grant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shortlist.domain.application import PipelineName
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
        self._epoch = 0

    @property
    def budget(self) -> int:
        """B: what all workers together may hold, by the limits that were last read."""
        assert self._observer.limits is not None
        reserved = max(pipeline.connections.reserved for pipeline in self._pipelines.values())
        return self._observer.limits.budget(reserved)

    async def admit(self, child: Child, pipeline: ScoringPipeline) -> None:
        """Wait until a worker that is about to start can have its first connections."""
        self._admitted.pop(child.name, None)
        least = least_connections(pipeline)
        while self._held() + least > self.budget:  # noqa: ASYNC110 (other processes' connections)
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        self._admitted[child.name] = (child, least)

    async def publish(self) -> None:
        """Tell workers their grants where these change, and forget workers that are gone."""
        changed = next_grants(
            self.budget,
            list(self._members()),
            held_by_others=self._held_by_others(),
            expected=self._expected(),
        )
        for name, beats in self._observer.beats.items():
            ours = {beat.worker_id for beat in beats} & changed.keys()
            if ours:
                await self._publish(name, {worker: changed[worker] for worker in ours})
            for beat in beats:
                if not self._is_here(beat):
                    await heartbeats.leave(self._observer.redis, name, beat.worker_id)

    async def _publish(self, name: PipelineName, connections: dict[str, int]) -> None:
        standing = self._observer.grants[name]
        self._epoch = 1 + max([self._epoch, *(grant.epoch for grant in standing.values())])
        grants = {worker: Grant(self._epoch, n) for worker, n in connections.items()}
        await heartbeats.publish_grants(self._observer.redis, name, grants)
        standing.update(grants)

    def _held(self) -> int:
        held = sum(member.held for member in self._members())
        return held + self._held_by_others() + self._expected()

    def _members(self) -> Iterable[Member]:
        for name, beats in self._observer.beats.items():
            for beat in beats:
                if self._is_here(beat):
                    yield self._member(name, beat)

    def _member(self, name: PipelineName, beat: Heartbeat) -> Member:
        grant = self._observer.grants.get(name, {}).get(beat.worker_id)
        counted = self._observer.open_by_worker.get(beat.worker_id, 0)
        return Member(
            worker_id=beat.worker_id,
            least=least_connections(self._pipelines[name]),
            wanted=wanted_connections(self._pipelines[name]),
            granted=beat.grant if grant is None else grant.connections,
            believed=beat.grant,
            open=max(beat.open_connections, counted),
        )

    def _held_by_others(self) -> int:
        """Connections that Postgres counts of workers that are no members."""
        members = {member.worker_id for member in self._members()}
        return sum(n for w, n in self._observer.open_by_worker.items() if w not in members)

    def _expected(self) -> int:
        """What workers need that were let in and have not reported yet."""
        reported = {beat.pid for beats in self._observer.beats.values() for beat in beats}
        return sum(least for child, least in self._admitted.values() if child.pid not in reported)

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
