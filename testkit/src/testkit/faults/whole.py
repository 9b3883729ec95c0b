"""Whether all processes are whole: each says so, and what comes now is scored in time."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from shortlist.storage.redis import keys
from testkit.clients import lookouts
from testkit.processes.place import Place
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testkit.clients.browsers import Browsers
    from testkit.databases.valkeys import Valkey
    from testkit.processes.place import Running

NOT_READY_SECONDS = 3.5
"""From the moment at which Redis takes no writes: a worker is not ready after three heartbeats
(3 s) that were not taken, and may be asked half a second later. All others are asked to write
(1 s at most)."""

WHOLE_AGAIN_SECONDS = 5.0
"""After the new server takes writes; `storage.watch` and `storage.postgres` have the sums."""

NOTICED_SECONDS = 3.5
"""After Postgres stopped to take writes no process says that it is ready: 1.0 s until a worker's
next turn and 2.0 s for its answer, less for all others. The rest is for looks of the test's."""

SETTLED_SECONDS = 10.0
"""Until what was under way is scored: 5 s until all are whole, and promise 3 from then on."""

WAITING = 30


@asynccontextmanager
async def everything(
    directory: Path,
    database_url: str,
    redis_url: str,
    mode: str,
    *,
    unguarded: str = "",
    service_seconds: float = 0.05,
) -> AsyncIterator[Running]:
    """Ingest, a worker, maintenance and a dashboard that have scored something."""
    place = Place(directory, database_url, redis_url)
    async with place.running(
        "worker",
        "maintenance",
        "dashboard",
        connection_mode=mode,
        service_seconds=service_seconds,
        commit_timeout_seconds=1.5,  # the default
        unguarded=unguarded,
    ) as run:
        await run.ledger.submit_until_accepted(20)
        await run.ledger.until_scored(20)
        yield run


async def says_the_truth(
    run: Running,
    *,
    postgres: bool = True,
    redis: bool = True,
    within_seconds: float = WHOLE_AGAIN_SECONDS,
) -> None:
    """Every process's readiness says whether it can do its work with the servers as they are."""
    worker, maintenance, dashboard = run.others[:3]
    code = 200 if postgres and redis else 503
    what = f"postgres {postgres}, redis {redis}"
    waits = [process.says(what, within_seconds, code=code) for process in (worker, maintenance)]
    if postgres:  # without it, ingest says no more, and without Redis it accepts
        said = "ok" if redis else "unreachable"
        waits.append(run.ingest.says(f"redis {said}", within_seconds, code=200, redis=said))
        waits.append(dashboard.says("it shows the page", within_seconds, code=200))
    else:
        waits.append(run.ingest.says("postgres is away", within_seconds, code=503))
    await asyncio.gather(*waits)


async def is_whole_since(run: Running, since: float) -> None:
    """5 s after ``since`` (monotonic) all say so, maintenance leads, and what comes is scored.

    Then what was under way is, too.
    """
    left_seconds = since + WHOLE_AGAIN_SECONDS - time.monotonic()
    _, maintenance = run.others[:2]
    await asyncio.gather(
        says_the_truth(run, within_seconds=left_seconds),
        maintenance.says("it leads", left_seconds, leading=True),
        _scores_what_comes(run, left_seconds),
    )
    await is_whole(run)


async def _scores_what_comes(run: Running, within_seconds: float) -> None:
    """One that is accepted from now on has a score in time, whatever else waits."""
    accepted = set(run.ledger.accepted)

    async def look() -> bool:
        await run.ledger.post()
        new = list(run.ledger.accepted.keys() - accepted)
        return bool(new) and bool(
            await run.ledger.value_or_none(
                "SELECT count(*) FROM results WHERE application_id = ANY($1)", new
            )
        )

    await until(look, within_seconds=within_seconds, what="what comes now is scored")


async def is_whole(run: Running, *, within_seconds: float = SETTLED_SECONDS) -> None:
    """What comes now is scored in time, no process was restarted, nothing was lost or doubled."""
    before = run.ledger.answers[202]
    await run.ledger.submit(WAITING)
    assert run.ledger.answers[202] == before + WAITING, f"refused: {run.ledger.answers}"
    await run.ledger.settle(within_seconds=within_seconds)
    assert not [s.name for s in run.stack.services if s.deaths], "a process ended"


async def is_whole_in_time(run: Running, browsers: Browsers, new: Valkey, *others: Valkey) -> None:
    """Call it when the new primary takes writes: 5 s later everything is as it should be.

    That is: readiness says so, all that was accepted by now is scored, the clients that watch were
    told, ingest is subscribed to the new primary (in a cluster: or to one of its ``others``), and
    the observers read and write it.
    """
    since = time.monotonic()
    await lookouts.are_forgotten(new)
    await run.ledger.submit(WAITING)
    left = WHOLE_AGAIN_SECONDS - (time.monotonic() - since)
    await asyncio.gather(
        says_the_truth(run, within_seconds=left),
        run.ledger.settle(within_seconds=left),
        browsers.are_told(left),
        is_subscribed([new, *others], left),
        lookouts.are_at(new, left),
    )
    await is_whole(run, within_seconds=WHOLE_AGAIN_SECONDS)


async def is_subscribed(servers: list[Valkey], within_seconds: float) -> None:
    """Wait until an ingest hears what is announced at one of some servers."""

    async def look() -> bool:
        channel = keys.events("-")
        told = [await server.ask("PUBSUB", "NUMSUB", channel) for server in servers]
        return any(int(count) for _, count in told)

    await until(look, within_seconds=within_seconds, what="ingest is subscribed again")
