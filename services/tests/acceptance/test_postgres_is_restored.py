"""Postgres may be as it was a while ago: restored from a backup, at the same address.

Then Redis, the workers and maintenance's leader know of what Postgres has never heard of: marks
that are ahead, entries of applications that do not exist, ends of attempts that are open. Every
process finds out by itself, and what the backup has is scored once.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.storage import redis
from shortlist.storage.postgres import migrate
from shortlist.storage.redis.line import Line
from testkit.databases.postgreses import Postgres
from testkit.faults.failover import OPEN_ATTEMPTS
from testkit.faults.whole import WHOLE_AGAIN_SECONDS, everything, is_whole_since
from testkit.operator.process import an_operator
from testkit.processes.stack import status_of
from testkit.processes.up import running
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from uuid import UUID

    from testkit.processes.place import Running

BEFORE, AFTER = 20, 30
"""Applications that are accepted before the backup, and after it."""

TIMELINES = {"the same": {}, "another": {"restore_command": "false"}}
"""Settings with which the backup is started: recovery to a point in time begins a new timeline."""


async def has_a_past(run: Running, postgres: Postgres, backup: Postgres) -> set[UUID]:
    """Make a backup while attempts are under way, let them end, and go on: what came after it.

    The worker is left frozen, and has work.
    """
    worker = run.others[0]
    before = await _unfinished(run)
    assert not before
    await run.ledger.submit(BEFORE)
    await _attempts_are_open(run)
    worker.freeze()
    assert await run.ledger.value(OPEN_ATTEMPTS), "the worker was too quick: it has nothing in hand"
    await postgres.copy_to(backup, follows=False)
    worker.thaw()
    known = set(run.ledger.accepted)
    await run.ledger.settle()
    late = await run.stack.start("worker", pipeline="late")
    await _marks_are_ahead(run, max(known))
    worker.freeze()
    await run.ledger.submit(AFTER)  # these wait in Redis
    assert late.alive
    return set(run.ledger.accepted) - known


async def _unfinished(run: Running) -> int:
    unfinished = "SELECT count(*) - (SELECT count(*) FROM results) FROM applications"
    return int(await run.ledger.value(unfinished))


async def _attempts_are_open(run: Running) -> None:
    async def look() -> bool:
        return bool(await run.ledger.value(OPEN_ATTEMPTS))

    await until(look, what="attempts are under way", poll_seconds=0.01)


async def _marks_are_ahead(run: Running, newest: UUID) -> None:
    """Maintenance has noted that all up to there is finished; it looks at that no more."""

    async def look() -> bool:
        await run.ledger.post()  # a mark is some seconds behind the newest
        mark = await run.ledger.value("SELECT swept_to FROM pipelines WHERE name = 'default'")
        return bool(mark > newest)

    await until(look, what="the mark is ahead", poll_seconds=1.0)


async def forgets(run: Running, unknown: set[UUID]) -> None:
    """The client forgets what Postgres has forgotten; it is told so when it asks."""
    for one in unknown:
        del run.ledger.accepted[one]
    one = next(iter(unknown))

    async def look() -> bool:
        return await status_of(f"{run.ingest.url}/applications/{one}") == 404

    await until(look, within_seconds=WHOLE_AGAIN_SECONDS, what="it is told that there is none")


async def no_entry_is_left(redis_url: str) -> None:
    """Those of applications that do not exist are taken out of the line."""
    client = redis.connect(redis_url)
    line = Line(client, DEFAULT_PIPELINE)

    async def look() -> bool:
        return (await line.depth()).total == 0

    try:
        await until(look, what="the line is empty")
    finally:
        await client.aclose()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "timeline"),
    [("perJob", "the same"), ("perJob", "another"), ("perWrite", "the same")],
)
async def test_postgres_is_restored(
    tmp_path: Path, redis_url: str, mode: str, timeline: str
) -> None:
    settings = TIMELINES[timeline]
    postgres = Postgres(tmp_path / "as-it-is")
    restored = Postgres(tmp_path / "as-it-was", port=postgres.port, settings=settings)
    try:
        await postgres.start()
        await postgres.ask("CREATE DATABASE shortlist", database="postgres")
        await migrate.migrate(postgres.url())
        async with everything(
            tmp_path, postgres.url(), redis_url, mode, service_seconds=0.5
        ) as run:
            await until_nothing_is_left(run)
            unknown = await has_a_past(run, postgres, restored)
            postgres.kill()
            if settings:
                (restored.data / "recovery.signal").touch()
            await restored.start()
            await restored.has_recovered()
            run.others[0].thaw()
            since = time.monotonic()
            assert await restored.ask(_TIMELINE) == (2 if settings else 1)
            await forgets(run, unknown)
            await is_whole_since(run, since)
            await no_entry_is_left(redis_url)
            assert await restored.ask("SELECT count(*) FROM pipelines WHERE name = 'late'") == 1
    finally:
        postgres.kill()
        restored.kill()


_TIMELINE = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)::int"


async def until_nothing_is_left(run: Running) -> None:
    """What was submitted so far is scored."""

    async def look() -> bool:
        return not await _unfinished(run)

    await until(look, what="all is scored")


PIPELINE = """
apiVersion: shortlist.dev/v1alpha1
kind: ScoringPipeline
metadata: {name: late}
spec: {}
"""


@asynccontextmanager
async def it_was_made_after_the_backup(
    directory: Path, who: str, postgres: Postgres, redis_url: str
) -> AsyncIterator[None]:
    """A pipeline, by the operator or by ``shortlist up``."""
    if who == "operator":
        async with an_operator(directory, postgres.url(), redis_url):
            yield
    else:
        (directory / "late.yaml").write_text(PIPELINE, encoding="utf-8")
        url = postgres.url()
        with running(directory, "-f", "late.yaml", DATABASE_URL=url, REDIS_URL=redis_url) as up:
            await up.ready()
            yield


@pytest.mark.slow
@pytest.mark.parametrize("who", ["operator", "up"])
async def test_a_pipeline_that_a_restored_postgres_lacks_is_made_known_again(
    tmp_path: Path, redis_url: str, who: str
) -> None:
    postgres = Postgres(tmp_path / "as-it-is")
    restored = Postgres(tmp_path / "as-it-was", port=postgres.port)
    try:
        await postgres.start()
        await postgres.ask("CREATE DATABASE shortlist", database="postgres")
        await migrate.migrate(postgres.url())
        await postgres.copy_to(restored, follows=False)
        async with it_was_made_after_the_backup(tmp_path, who, postgres, redis_url):
            await _is_known(postgres, within_seconds=60)
            postgres.kill()
            await restored.start()
            await _is_known(restored, within_seconds=WHOLE_AGAIN_SECONDS)
    finally:
        postgres.kill()
        restored.kill()


async def _is_known(postgres: Postgres, within_seconds: float) -> None:
    async def look() -> bool:
        return bool(await postgres.ask("SELECT count(*) FROM pipelines WHERE name = 'late'"))

    await until(look, within_seconds=within_seconds, what="the pipeline is known")
