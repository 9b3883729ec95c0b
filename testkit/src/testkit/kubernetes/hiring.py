"""Openings on a cluster: made with a key at an ingest's own port, applied for through the Service.

The API server passes no Authorization header on: so what needs a key does not go through the
Service here, and what is public does.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import aiohttp

from testkit.hiring.keys import bearer, make_key
from testkit.kubernetes.cluster import Refused
from testkit.waiting import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testkit.kubernetes.cluster import Cluster

INGEST_PORT = 8000

LATENESS = """
SELECT extract(epoch FROM d.at - (p.metadata->>'acknowledgeDeadline')::timestamptz)::float8 AS late
FROM opening_events d
CROSS JOIN LATERAL (
    SELECT metadata FROM opening_events
    WHERE placement_id = d.placement_id AND type = 'p' AND sequence < d.sequence
    ORDER BY sequence DESC LIMIT 1
) p
WHERE d.opening_id = $1 AND d.type = 'd'
"""
FREE_BESIDE_A_LINE = """
SELECT count(*) FROM opening_events WHERE opening_id = $1 AND waiting > 0 AND held < $2
  AND (sequence, at) IN (
      SELECT max(sequence), at FROM opening_events WHERE opening_id = $1 GROUP BY at)
"""
"""Commits after which a place was free beside an applicant who waits. The events of a transaction
have one time; two transactions within a millisecond count as one."""
OVERFULL = "SELECT count(*) FROM opening_events WHERE opening_id = $1 AND held > $2"
GAPS = """
SELECT max(sequence) - count(*) FROM opening_events WHERE opening_id = $1
"""


class Opening:
    """One opening of a test, in which each offer stands for a few seconds."""

    def __init__(self, cluster: Cluster, opening_id: int, capacity: int) -> None:
        self._cluster = cluster
        self._numbers = itertools.count(1)
        self.id = opening_id
        self.capacity = capacity
        self.applied = 0
        self.refused: list[str] = []
        """Every answer that was not 201."""

    @classmethod
    async def make(cls, cluster: Cluster, *, capacity: int, window_seconds: int) -> Opening:
        """Make one, as a machine with a key does."""
        async with cluster.database() as db:
            key = await make_key(db, "manage")
        rules: dict[str, Any] = {
            "title": f"Opening {uuid4().hex[:8]}",
            "capacity": capacity,
            "ackWindowSeconds": window_seconds,
            "confirm": "everyone",
        }
        async with (
            cluster.forwarded("ingest", INGEST_PORT) as port,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=bearer(key)) as http,
            http.post("/api/jobs", json=rules) as answer,
        ):
            assert answer.status == 201, await answer.text()
            return cls(cluster, (await answer.json())["id"], capacity)

    async def apply(self) -> None:
        """A new applicant applies, through the Service."""
        number = next(self._numbers)
        body = {
            "name": f"Applicant {number}",
            "email": f"{number}-{self.id}@example.org",
            "jobId": self.id,
        }
        services = f"/api/v1/namespaces/{self._cluster.namespace}/services"
        path = f"{services}/{self._cluster.release.name}:http/proxy/api/apply-public"
        try:
            await self._cluster.call("POST", path, body)
        except (Refused, TimeoutError) as error:
            self.refused.append(str(error))
        else:
            self.applied += 1

    @asynccontextmanager
    async def load(self, per_second: float) -> AsyncIterator[None]:
        """Applicants come at a rate, one after the other, for the length of a block."""

        async def pace() -> None:
            started = time.monotonic()
            for sent in itertools.count(1):
                await self.apply()
                await asyncio.sleep(max(0.0, started + sent / per_second - time.monotonic()))

        async with beside(pace()):
            yield

    async def until_decays(self, count: int) -> None:
        """Wait until so many offers have run out and were taken back."""

        async def decayed() -> bool:
            return len(await self.lateness()) >= count

        await self._cluster.until(decayed, what=f"{count} offers of {self.id} are taken back")

    async def lateness(self) -> list[float]:
        """By how many seconds each offer was taken back late, by Postgres's clock."""
        return [row["late"] for row in await self._cluster.query(LATENESS, self.id)]

    async def assert_all_held(self) -> None:
        """Never too many places taken, none free beside a line, and no gap in the audit."""
        (gaps,) = await self._cluster.query(GAPS, self.id)
        (overfull,) = await self._cluster.query(OVERFULL, self.id, self.capacity)
        (free,) = await self._cluster.query(FREE_BESIDE_A_LINE, self.id, self.capacity)
        assert (gaps[0], overfull[0], free[0]) == (0, 0, 0)
