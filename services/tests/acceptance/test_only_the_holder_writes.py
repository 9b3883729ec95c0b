"""Promise 2: exactly one final score. A resumed worker that lost its claim writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args
from uuid import uuid4

import psutil
import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId, ConnectionMode
from shortlist.storage import redis
from shortlist.storage.redis.line import Entry, Line
from testkit.databases.servers import terminate_backends
from testkit.waiting import until

if TYPE_CHECKING:
    from testkit.processes.place import Place
    from testkit.processes.stack import Service

MODES = get_args(ConnectionMode)


async def until_frozen(service: Service) -> None:
    """Wait until it stopped itself at its failpoint."""

    async def look() -> bool:
        return psutil.Process(service.process.pid).status() == psutil.STATUS_STOPPED

    await until(look, what=f"{service.name} stops itself")


async def frozen_past_its_claim(place: Place, mode: str, **settings: object) -> None:
    """A worker stops with scores in hand, another scores, and the first resumes and writes.

    A perWrite claim ends by itself when the lease runs out. A perJob claim ends when Postgres
    gives the connection up, as it does when a host vanishes; here the test ends it.
    """
    async with place.running(
        "maintenance", connection_mode=mode, service_seconds=0.2, concurrency=4, **settings
    ) as run:
        frozen = await run.stack.start("worker", failpoints="worker.before_complete=stop")
        await run.ledger.submit(4)
        await until_frozen(frozen)
        frozen_id = await run.ledger.value("SELECT worker_id FROM attempts LIMIT 1")
        await run.stack.start("worker")
        if mode == "perJob":
            await terminate_backends(place.database_url, of=f"shortlist-worker {frozen_id}")
        await run.ledger.until_scored(4)
        frozen.thaw()
        frozen.terminate()  # it finishes what it believes to hold
        assert await frozen.exit_code() == 0
        await run.ledger.settle()
        written = await run.ledger.value(
            "SELECT count(*) FROM audit_log WHERE actor = $1", f"worker:{frozen_id}"
        )
        assert written == 0, f"the frozen worker wrote {written} scores"


@pytest.mark.parametrize("mode", MODES)
async def test_a_worker_frozen_past_its_claim_writes_nothing_when_it_goes_on(
    place: Place, mode: str
) -> None:
    await frozen_past_its_claim(place, mode)


@pytest.mark.parametrize("mode", MODES)
async def test_off_switch_without_the_fence_a_frozen_worker_scores_a_second_time(
    place: Place, mode: str
) -> None:
    with pytest.raises(AssertionError, match=r"^scored more than once: "):
        await frozen_past_its_claim(place, mode, unguarded="fence")


@pytest.mark.parametrize("mode", MODES)
async def test_entries_delivered_many_times_are_scored_once(place: Place, mode: str) -> None:
    async with place.running(
        "worker", "worker", "maintenance", connection_mode=mode, service_seconds=0.3
    ) as run:
        await run.ledger.submit(30)
        client = redis.connect(place.redis_url)
        line = Line(client, DEFAULT_PIPELINE)
        entries = [Entry(ApplicationId(id_)) for id_ in run.ledger.accepted]
        for first in (True, False, True):
            await line.republish(entries, by="test", first=first)
        await line.republish([Entry(ApplicationId(uuid4()))], by="test", first=True)  # unknown
        await run.ledger.settle()
        assert await run.ledger.value("SELECT max(attempt) FROM attempts") == 1

        async def empty() -> bool:
            return (await line.depth()).total == 0

        await until(empty, what="the line is empty again")
        await client.aclose()
