"""What is sized by the policy, and the burst that is sent to it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

import aiohttp

from loadtest.simulation.loads import Load, bursts
from shortlist.domain.line.application import DEFAULT_PIPELINE

if TYPE_CHECKING:
    from collections.abc import Sequence

RESOURCE = {
    "apiVersion": "shortlist.dev/v1alpha1",
    "kind": "ScoringPipeline",
    "metadata": {"name": DEFAULT_PIPELINE},
    "spec": {
        "workerRef": {"name": "worker"},
        "scorer": {"kind": "simulated", "serviceSeconds": 1.5, "serviceCv": 0.5},
        "scaling": {"minReplicas": 1},
    },
}
"""The defaults, but for one worker that stays and a service time that varies, as a model's."""

BASE_RATE, BURST_RATE = 2.0, 40.0
BURST_AT_SECONDS, BURST_SECONDS = 20.0, 60.0
LOAD = Load(
    f"{BASE_RATE:g}/s with {BURST_SECONDS:g} s of {BURST_RATE:g}/s",
    bursts(
        BASE_RATE,
        BURST_RATE,
        every_seconds=1e9,
        length_seconds=BURST_SECONDS,
        first_at=BURST_AT_SECONDS,
    ),
    peak_rate=BURST_RATE,
    horizon_seconds=180.0,
)


async def post_all(url: str, arrivals: Sequence[float], started_at: float) -> Counter[int]:
    """Post each application at its time, whatever became of those before; the answers' statuses."""
    timeout = aiohttp.ClientTimeout(total=30)
    connector = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(url, timeout=timeout, connector=connector) as session:

        async def post(number: int) -> int:
            body = {"candidate": "Ada Lovelace", "payload": f"{number} " + "x" * 200}
            async with session.post("/applications", json=body) as answer:
                return answer.status

        posts = []
        for number, second in enumerate(arrivals):
            await asyncio.sleep(started_at + second - time.time())
            posts.append(asyncio.create_task(post(number)))
        return Counter(await asyncio.gather(*posts))
