"""A gentle load, so that the first look is alive: a few applications a second."""

from __future__ import annotations

import random
import sys
from contextlib import suppress

import httpx2

from shortlist.http.reachable import trouble_with
from shortlist.runtime import exit_codes
from shortlist.runtime.process import Stopping
from shortlist.runtime.tasks import wait_until_set

_RATE_PER_SECOND = 2.0
_LONGEST_RETRY_SECONDS = 30.0

_FIRST = (
    "Ada",
    "Alan",
    "Barbara",
    "Donald",
    "Edsger",
    "Frances",
    "Grace",
    "Hedy",
    "Katherine",
    "Tim",
)
_LAST = (
    "Allen",
    "Dijkstra",
    "Hamilton",
    "Hopper",
    "Johnson",
    "Knuth",
    "Lamarr",
    "Liskov",
    "Turing",
)
_SKILLS = (
    "Python",
    "Rust",
    "Go",
    "SQL",
    "Kubernetes",
    "statistics",
    "design",
    "writing",
    "teaching",
)


async def run(url: str) -> int:
    """Send applications to ``url`` until told to stop; the exit code.

    1, with a sentence, when nothing answers there at the start.
    """
    with Stopping().listening() as stopping:
        if trouble := await trouble_with(url):
            sys.stderr.write(f"shortlist: {trouble}\n")
            return exit_codes.FAILED
        await _submit_until(stopping, url)
    return exit_codes.DONE


async def _submit_until(stopping: Stopping, url: str) -> None:
    chance = random.Random()  # made-up applications
    async with httpx2.AsyncClient(base_url=url, timeout=10) as client:
        while not stopping.drain.is_set():
            pause = await _submit(client, chance)
            await wait_until_set(stopping.drain, pause)


async def _submit(client: httpx2.AsyncClient, chance: random.Random) -> float:
    """Send one application; how many seconds to wait before the next."""
    try:
        answer = await client.post("/applications", json=application(chance))
    except httpx2.HTTPError:
        return 1.0
    if answer.status_code == httpx2.codes.ACCEPTED:
        return chance.expovariate(_RATE_PER_SECOND)  # as independent people come: Poisson
    with suppress(ValueError):
        return min(_LONGEST_RETRY_SECONDS, float(answer.headers.get("retry-after", "1")))
    return 1.0


def application(chance: random.Random) -> dict[str, str]:
    """Make up an application."""
    skills = chance.sample(_SKILLS, k=chance.randint(2, 5))
    years = chance.randint(0, 25)
    return {
        "candidate": f"{chance.choice(_FIRST)} {chance.choice(_LAST)}",
        "payload": f"{years} years of experience. Good at {', '.join(skills)}.",
    }
