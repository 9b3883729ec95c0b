"""What the model refuses to all applications is no application's failure: the pipeline waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from testkit.processes.messages_api import MessagesApi
from testkit.waiting import until

if TYPE_CHECKING:
    from testkit.processes.messages_api import Kind
    from testkit.processes.place import Place, Running
    from testkit.processes.stack import Service

WORKERS, CONCURRENCY = 3, 10
ASK_AGAIN_SECONDS = 2.0
"""Of `testkit.unguarded.guards`, ``asks_again_soon``; a minute for real."""

# What is answered to all, for some seconds.
REFUSALS: list[tuple[Kind, dict[str, Any]]] = [
    ("unauthorized", {}),
    ("no_such_model", {}),
    ("billing", {}),
    ("no_credit", {}),
    ("page", {"status": 407}),
    ("server_error", {}),
]


async def refused_for_a_while(place: Place, count: int, *, unguarded: str = "") -> None:
    """The key is bad, and good again; then the account, the model …; with the same processes."""
    guards = ",".join(filter(None, ["asks_again_soon", unguarded]))
    async with MessagesApi() as api, place.running("maintenance") as run:
        claude = {"ANTHROPIC_API_KEY": "sk-local", "ANTHROPIC_BASE_URL": api.url}
        workers = [
            await run.stack.start(
                "worker", wait=False, unguarded=guards, variables=claude,
                scorer="claude", concurrency=CONCURRENCY,
            )
            for _ in range(WORKERS)
        ]  # fmt: skip
        await run.stack.ready()
        for kind, fields in REFUSALS:
            await _refused(run, api, workers, count, kind, fields)


async def _refused(
    run: Running,
    api: MessagesApi,
    workers: list[Service],
    count: int,
    kind: Kind,
    fields: dict[str, Any],
) -> None:
    api.behave(kind, **fields)
    api.requests.clear()
    await run.ledger.submit(count)
    await until(lambda: _told(workers[0]), what=f"a worker says why it waits: {kind}")
    await asyncio.sleep(2.5 * ASK_AGAIN_SECONDS)  # it has every chance to ask too often
    # Each slot meets it once, and asks once whether it is alone with it; then one at a time does.
    assert len(api.requests) <= 2 * WORKERS * CONCURRENCY + 2 * 4, kind
    assert await run.ledger.value("SELECT count(*) FROM results WHERE status = 'failed'") == 0
    assert await run.ledger.value("SELECT max(attempt) FROM attempts") <= 8, kind
    api.behave("score")
    await run.ledger.settle(within_seconds=60)  # each has one score, none has failed


async def throttled_without_a_wait(place: Place, seconds: float, *, unguarded: str = "") -> None:
    """The service says 429 with ``Retry-After: 0`` to all of ten applications, for some time."""
    async with MessagesApi() as api, place.running("maintenance") as run:
        api.behave("throttled", retry_after="0")
        claude = {"ANTHROPIC_API_KEY": "sk-local", "ANTHROPIC_BASE_URL": api.url}
        await run.stack.start("worker", unguarded=unguarded, variables=claude, scorer="claude")
        await run.ledger.submit(10)
        await asyncio.sleep(seconds)
        # Pauses of 1, 2, 4 and 8 s: a fifth beginning is all that there is time for.
        assert len(api.requests) <= 10 * 5
        assert await run.ledger.value("SELECT count(*) FROM attempts") <= 10 * 5


async def _told(worker: Service) -> str | None:
    async with aiohttp.ClientSession() as session, session.get(f"{worker.url}/readyz") as reply:
        assert reply.status == 200
        refused: str | None = (await reply.json())["refused"]
    assert refused is None or "claude" in refused
    return refused


@pytest.mark.slow
async def test_a_refused_key_fails_nobody(place: Place) -> None:
    await refused_for_a_while(place, 300)


@pytest.mark.parametrize("guard", ["refusals_are_everyones", "one_asks_again"])
async def test_off_switch_refusals(place: Place, guard: str) -> None:
    with pytest.raises(AssertionError):
        await refused_for_a_while(place, 100, unguarded=guard)


@pytest.mark.slow
async def test_no_wait_is_no_loop_of_requests(place: Place) -> None:
    await throttled_without_a_wait(place, 15)


async def test_off_switch_backoff(place: Place) -> None:
    with pytest.raises(AssertionError):
        await throttled_without_a_wait(place, 15, unguarded="backoff")
