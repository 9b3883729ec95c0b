"""What one worker knows of itself; its heartbeat is made from it."""

from __future__ import annotations

import bisect
import os
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shortlist.storage.postgres.text import clean
from shortlist.storage.redis.heartbeats import Heartbeat
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from shortlist.domain.line.application import (
        ConnectionMode,
        FinalStatus,
        PipelineName,
        WorkerId,
    )


@dataclass
class WorkerState:
    """Counters of one worker, and its orders. Times are Unix seconds."""

    worker_id: WorkerId
    pipeline: PipelineName
    mode: ConnectionMode
    concurrency: int
    overhead: int
    grant: int
    started_at: float
    ready_at: float = 0.0
    ready_monotonic: float = 0.0
    """By `time.monotonic`."""
    epoch: int = 0
    """The newest epoch whose grant this worker keeps to."""
    ordered_to_drain: bool = False
    stopping: bool = False
    alone: bool = False
    """It scores a suspect and nothing else, or is about to."""
    busy_seconds: float = 0.0
    busy_since: dict[int, float] = field(default_factory=dict)
    """By `time.monotonic`."""
    scores: int = 0
    """Scores that were begun."""
    completed: int = 0
    failed: int = 0
    retried: int = 0
    latency_counts: list[int] = field(
        default_factory=lambda: [0] * (len(metrics.LATENCY_BUCKETS) + 1)
    )

    @property
    def may_pull(self) -> bool:
        """Whether it may take more work."""
        return not (self.stopping or self.ordered_to_drain)

    def finished(self, status: FinalStatus, latency_seconds: float) -> None:
        """Count a verdict."""
        if status == "scored":
            self.completed += 1
        else:
            self.failed += 1
        bucket = bisect.bisect_left(metrics.LATENCY_BUCKETS, latency_seconds)
        self.latency_counts[bucket] += 1

    def heartbeat(self, *, now: float, in_flight: int, open_connections: int) -> Heartbeat:
        """Make the report of this second. Scores under way count as busy up to now."""
        monotonic = time.monotonic()
        running = sum(monotonic - since for since in self.busy_since.values())
        return Heartbeat(
            worker_id=str(self.worker_id),
            at=now,
            started_at=self.started_at,
            ready_at=self.ready_at,
            host=clean(socket.gethostname()),
            pid=os.getpid(),
            mode=self.mode,
            concurrency=self.concurrency,
            in_flight=in_flight,
            grant=self.grant,
            open_connections=open_connections,
            epoch=self.epoch,
            draining=not self.may_pull,
            busy_seconds=self.busy_seconds + running,
            completed=self.completed,
            failed=self.failed,
            retried=self.retried,
            latency_buckets=self.latency_counts,
            ready_monotonic=self.ready_monotonic,
        )
