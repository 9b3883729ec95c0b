"""Ten minutes of what production brings, drawn at random: the promises hold all the same.

    CHAOS_SECONDS=600 uv run pytest -n 0 -s -m slow services/tests/acceptance/test_chaos.py

`-m slow` runs a minute of it. ``CHAOS_SEED=$RANDOM`` draws other faults; the seed is printed.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

import pytest

from shortlist.domain.application import ConnectionMode
from shortlist.storage import postgres
from support.messages_api import MessagesApi
from support.servers import flush, terminate_backends

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from support.place import Place, Running
    from support.servers import Servers
    from support.stack import Service

SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))
SEED = int(os.environ.get("CHAOS_SEED", "7"))
"""The same faults in each run of CI, so that what lands is judged by its own change."""

APPLICATIONS_PER_SECOND = 15.0
SCORE_SECONDS = 0.3
SCORE_TIMEOUT_SECONDS = 10.0
CONCURRENCY = 5
WORKERS = 3

MOST_WASTED = 0.01
"""Of all attempts: those that ended without a score though nothing was killed that held them."""

LONGEST_SCORING_SECONDS = SCORE_TIMEOUT_SECONDS + 5 + 10
"""A score's own time-out, the promise of `perWrite` (5 s), and what a busy machine and a server
that is away for some seconds add."""

OVERDUE = """
SELECT count(*) FROM attempts t
WHERE t.outcome IS NULL AND t.claimed_at < clock_timestamp() - make_interval(secs => $1)
  AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = t.application_id)
  AND NOT EXISTS (SELECT FROM attempts n
                  WHERE n.application_id = t.application_id AND n.attempt > t.attempt)
"""

WASTED = """
SELECT count(*) FROM attempts t
WHERE NOT EXISTS (SELECT FROM results r
                  WHERE r.application_id = t.application_id AND r.attempt = t.attempt)
  AND (t.outcome IS NULL OR t.outcome = 'errored')
"""


@dataclass
class Chaos:
    """What a fault may break."""

    run: Running
    servers: Servers
    api: MessagesApi
    chance: random.Random
    killed_scores: int = 0
    """Scores that were under way in workers which a fault killed: no design can save those."""
    most_overdue: int = 0
    faults: list[str] = field(default_factory=list)

    def one(self, role: str) -> Service:
        """A process of a role, drawn."""
        return self.chance.choice([s for s in self.run.stack.services if s.role == role])

    def seconds(self) -> float:
        """How long a fault lasts."""
        return self.chance.uniform(0.5, 3.0)


async def kill_a_worker(chaos: Chaos) -> None:
    chaos.killed_scores += CONCURRENCY
    chaos.one("worker").kill()


async def kill_ingest(chaos: Chaos) -> None:
    chaos.one("ingest").kill()


async def kill_maintenance(chaos: Chaos) -> None:
    chaos.one("maintenance").kill()


async def freeze_a_process(chaos: Chaos) -> None:
    role = chaos.chance.choice(["worker", "ingest", "maintenance"])
    process = chaos.one(role)
    if role == "worker":  # longer than its lease: what it held is scored by another
        chaos.killed_scores += CONCURRENCY
    process.freeze()
    await asyncio.sleep(chaos.seconds())  # how long the fault lasts
    process.thaw()


async def restart_redis(chaos: Chaos) -> None:
    await chaos.servers.stop_redis(chaos.chance.choice([signal.SIGTERM, signal.SIGKILL]))
    await asyncio.sleep(chaos.seconds())  # how long the fault lasts
    await chaos.servers.start_redis()


async def empty_redis(chaos: Chaos) -> None:
    await flush(chaos.servers.redis.url)


async def freeze_redis(chaos: Chaos) -> None:
    chaos.servers.freeze_redis()
    await asyncio.sleep(chaos.seconds())  # how long the fault lasts
    chaos.servers.thaw_redis()


async def restart_postgres(chaos: Chaos) -> None:
    await chaos.servers.stop_postgres(chaos.chance.choice([signal.SIGINT, signal.SIGQUIT]))
    await asyncio.sleep(chaos.seconds())  # how long the fault lasts
    await chaos.servers.start_postgres()


async def freeze_postgres(chaos: Chaos) -> None:
    chaos.servers.freeze_postgres()
    await asyncio.sleep(chaos.seconds())  # how long the fault lasts
    chaos.servers.thaw_postgres()


async def cut_every_connection(chaos: Chaos) -> None:
    await terminate_backends(chaos.servers.postgres.url)


async def postgres_read_only(chaos: Chaos) -> None:
    """What a client of a primary that was demoted gets; and then it is the primary again."""
    await administer(chaos, "ALTER DATABASE shortlist SET default_transaction_read_only = on")
    await terminate_backends(chaos.servers.postgres.url)
    await asyncio.sleep(chaos.seconds())  # how long the fault lasts
    await administer(chaos, "ALTER DATABASE shortlist RESET default_transaction_read_only")
    await terminate_backends(chaos.servers.postgres.url)


async def administer(chaos: Chaos, statement: str) -> None:
    url = chaos.servers.postgres.url.replace("/shortlist?", "/postgres?")
    connection = await postgres.connect(url, application_name="chaos")
    await connection.execute(statement)
    await connection.close()


def model(kind: str, **fields: object) -> Callable[[Chaos], Awaitable[None]]:
    async def misbehave(chaos: Chaos) -> None:
        chaos.api.behave(kind, **fields)  # type: ignore[arg-type]
        await asyncio.sleep(chaos.seconds())  # how long the fault lasts
        chaos.api.behave("score", service_seconds=SCORE_SECONDS)

    misbehave.__name__ = f"model_{kind}"
    return misbehave


FAULTS: list[Callable[[Chaos], Awaitable[None]]] = [
    kill_a_worker,
    kill_ingest,
    kill_maintenance,
    freeze_a_process,
    restart_redis,
    empty_redis,
    freeze_redis,
    restart_postgres,
    freeze_postgres,
    cut_every_connection,
    postgres_read_only,
    model("throttled", retry_after="1"),
    model("throttled", retry_after="0"),
    model("overloaded"),
    model("unauthorized"),
]


@asynccontextmanager
async def chaos_in(place: Place, servers: Servers, mode: str) -> AsyncIterator[Chaos]:
    async with (
        MessagesApi() as api,
        place.running(
            "maintenance", "maintenance", connection_mode=mode, concurrency=CONCURRENCY
        ) as run,
    ):  # fmt: skip
        api.behave("score", service_seconds=SCORE_SECONDS)
        for _ in range(WORKERS):
            await run.stack.start(
                "worker", wait=False, unguarded="asks_again_soon", scorer="claude",
                score_timeout_seconds=SCORE_TIMEOUT_SECONDS,
                variables={"ANTHROPIC_API_KEY": "sk-local", "ANTHROPIC_BASE_URL": api.url},
            )  # fmt: skip
        await run.stack.ready()
        yield Chaos(run, servers, api, random.Random(SEED))


async def watch(chaos: Chaos) -> None:
    """Each second: how many are `scoring` beyond the promise. Postgres may be away; for ever."""
    while True:
        try:
            overdue = await chaos.run.ledger.value(OVERDUE, LONGEST_SCORING_SECONDS)
            chaos.most_overdue = max(chaos.most_overdue, int(overdue))
        except Exception:  # noqa: BLE001 (a fault is on: what it finds next counts)
            pass
        await asyncio.sleep(1)


async def break_things(chaos: Chaos) -> None:
    """One fault after the other; each is over, and its server back, before the next is drawn."""
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        fault = chaos.chance.choice(FAULTS)
        chaos.faults.append(fault.__name__)
        await fault(chaos)
        await asyncio.sleep(chaos.seconds())  # what broke is noticed and mended meanwhile


def say(text: str) -> None:
    print(text)  # noqa: T201 (the seed and the figures)


@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS + 600, func_only=True)
@pytest.mark.parametrize("mode", get_args(ConnectionMode))
async def test_promises_hold_in_chaos(own_place: Place, servers: Servers, mode: str) -> None:
    say(f"CHAOS_SEED={SEED} CHAOS_SECONDS={SECONDS:g} {mode}")
    async with chaos_in(own_place, servers, mode) as chaos:
        watching = asyncio.create_task(watch(chaos))
        async with chaos.run.ledger.load(APPLICATIONS_PER_SECOND):
            await break_things(chaos)
        await chaos.run.ledger.settle(within_seconds=180)
        watching.cancel()
        attempts = await chaos.run.ledger.value("SELECT count(*) FROM attempts")
        wasted = await chaos.run.ledger.value(WASTED)
        excess = max(0, wasted - chaos.killed_scores)
        say(", ".join(f"{n} {name}" for name, n in Counter(chaos.faults).items()))
        say(
            f"{len(chaos.run.ledger.accepted)} accepted, answers {dict(chaos.run.ledger.answers)}, "
            f"{attempts} attempts, {wasted} without a score, {chaos.killed_scores} were killed, "
            f"{len(chaos.api.requests)} requests to the model"
        )
        assert chaos.most_overdue == 0, f"`scoring` beyond the promise: {chaos.most_overdue}"
        assert excess <= MOST_WASTED * attempts, f"{excess} of {attempts} attempts wasted"
        await chaos.run.ledger.assert_nothing_is_half_done()
