"""A gentle load, so that the first look is alive: a few applications a second."""

from __future__ import annotations

import asyncio
import random
import secrets
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import httpx2

from shortlist.domain.access import SCOPES, SECRET_BYTES, digest_of_key, key_of
from shortlist.embedded.demo_hiring import HiringDemo
from shortlist.hiring.seed.seeding import seed_samples
from shortlist.http.reachable import trouble_with
from shortlist.runtime import exit_codes
from shortlist.runtime.process import Stopping
from shortlist.runtime.tasks import wait_until_set
from shortlist.storage.once import UnusableServerError, unless_unusable, with_connection
from shortlist.storage.postgres.queries.hiring import api_keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shortlist.storage.postgres import Connection
    from shortlist.urls import DatabaseUrl

_RATE_PER_SECOND = 2.0
_TURNS_PER_SECOND = 0.3
_KEY_DAYS = 7.0
"""Of the demo's key, should nothing revoke it."""
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


async def run(url: str, database_url: DatabaseUrl) -> int:
    """Send applications to ``url`` until told to stop; the exit code.

    1, with a sentence, when nothing answers there at the start. ``database_url``: where openings
    are seeded and a key is made; empty: hiring is left alone.
    """
    with Stopping().listening() as stopping:
        if trouble := await trouble_with(url):
            sys.stderr.write(f"shortlist: {trouble}\n")
            return exit_codes.FAILED
        try:
            await _play_until(stopping, url, database_url)
        except UnusableServerError as error:
            sys.stderr.write(f"shortlist: {error}\n")
            return exit_codes.FAILED
    return exit_codes.DONE


async def _play_until(stopping: Stopping, url: str, database_url: DatabaseUrl) -> None:
    chance = random.Random()  # made-up applications
    if not database_url:
        async with httpx2.AsyncClient(base_url=url, timeout=10) as client:
            await _submit_until(stopping, client, chance)
        return
    await unless_unusable(database_url, seed_samples(database_url))
    async with _key(database_url) as key, _client(url, key) as client:
        await asyncio.gather(
            _submit_until(stopping, client, chance), _hire_until(stopping, client, chance)
        )


def _client(url: str, key: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, timeout=10, headers={"Authorization": f"Bearer {key}"})


@asynccontextmanager
async def _key(url: DatabaseUrl) -> AsyncIterator[str]:
    """Make a key for as long as the demo runs."""
    key = key_of(secrets.token_bytes(SECRET_BYTES))

    async def create(connection: Connection) -> int:
        key_id, _ = await api_keys.create(
            connection,
            name="up --demo",
            digest=digest_of_key(key),
            scopes=SCOPES,
            days=_KEY_DAYS,
        )
        return key_id

    async def revoke(connection: Connection) -> None:
        await api_keys.revoke(connection, key_id)

    key_id = await with_connection(url, "demo", create)
    try:
        yield key
    finally:
        with suppress(UnusableServerError):
            await with_connection(url, "demo", revoke)


async def _submit_until(
    stopping: Stopping, client: httpx2.AsyncClient, chance: random.Random
) -> None:
    while not stopping.drain.is_set():
        pause = await _submit(client, chance)
        await wait_until_set(stopping.drain, pause)


async def _hire_until(
    stopping: Stopping, client: httpx2.AsyncClient, chance: random.Random
) -> None:
    hiring = HiringDemo(client, chance)
    while not stopping.drain.is_set():
        with suppress(httpx2.HTTPError):
            await hiring.turn()
        await wait_until_set(stopping.drain, chance.expovariate(_TURNS_PER_SECOND))


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
