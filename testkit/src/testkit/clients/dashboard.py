"""Applications in each state, and a worker that beats: something for a dashboard to show."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uuid_utils.compat import uuid7

from shortlist.domain.line.application import (
    DEFAULT_PIPELINE,
    ApplicationId,
    NewApplication,
    Verdict,
    WorkerId,
)
from shortlist.storage.postgres.queries import applications, claims
from shortlist.storage.redis import heartbeats

if TYPE_CHECKING:
    from shortlist.storage import postgres


@dataclass
class Applicants:
    """Puts applications in the database, in the state that a test wants to see."""

    db: postgres.Connection
    worker: WorkerId

    async def pending(self, candidate: str | None) -> ApplicationId:
        application_id = ApplicationId(uuid7())
        new = NewApplication(application_id, DEFAULT_PIPELINE, candidate, "payload")
        await applications.accept(self.db, [new])
        return application_id

    async def scoring(self, candidate: str) -> ApplicationId:
        application_id = await self.pending(candidate)
        await claims.claim_leased(self.db, [application_id], self.worker)
        return application_id

    async def scored(self, candidate: str, score: float) -> ApplicationId:
        application_id = await self.scoring(candidate)
        await self._complete(Verdict(application_id, 1, "scored", score))
        return application_id

    async def failed(self, candidate: str, reason: str) -> ApplicationId:
        application_id = await self.scoring(candidate)
        await self._complete(Verdict(application_id, 1, "failed", None, reason))
        return application_id

    async def _complete(self, verdict: Verdict) -> None:
        counted = await claims.complete(
            self.db, [verdict], pipeline=DEFAULT_PIPELINE, worker_id=self.worker
        )
        assert counted == {verdict.application_id}


def a_heartbeat(**changes: Any) -> heartbeats.Heartbeat:
    now = time.time()
    values: dict[str, Any] = {
        "worker_id": str(uuid7()), "at": now, "started_at": now, "ready_at": now, "host": "here",
        "pid": 1, "mode": "perJob", "concurrency": 10, "in_flight": 0, "grant": 11,
        "open_connections": 11, "epoch": 0, "draining": False, "busy_seconds": 0.0,
        "completed": 0, "failed": 0, "retried": 0,
    }  # fmt: skip
    return heartbeats.Heartbeat(**(values | changes))
