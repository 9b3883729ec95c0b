"""A worker that waits for Postgres lives; one whose heartbeat has stopped turning does not."""

from __future__ import annotations

import time

from shortlist.domain.line.scoring import Score
from shortlist.settings import WorkerSettings
from shortlist.worker.main import Worker
from testkit.processes.scripted import Scripted


async def test_only_a_worker_that_was_ready_can_have_a_heartbeat_that_hangs() -> None:
    worker = Worker(WorkerSettings(), Scripted(Score(1.0)))
    worker._membership.last_turn = time.monotonic() - 1_000
    assert (await worker._liveness()).ok  # Postgres may have been away since it started
    worker._state.ready_at = time.time()
    assert not (await worker._liveness()).ok
