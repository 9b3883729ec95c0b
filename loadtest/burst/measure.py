"""Starts `shortlist up`, sends it the burst, watches it, and counts what became of everything."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import yaml

from loadtest.bench.child import Child, free_port, python
from loadtest.bench.ours import Server, until_ready
from loadtest.burst.load import LOAD, RESOURCE, post_all
from loadtest.burst.sample import Outcome, Sample, add_percentiles
from loadtest.burst.watch import Watch
from loadtest.simulation.loads import draw
from shortlist.domain.percentiles import nearest_rank
from shortlist.storage import postgres

if TYPE_CHECKING:
    from pathlib import Path

SEED = 1

_SETTLE_SECONDS = 60.0
"""By then one worker is left of those that `shortlist up` begins with."""

_FINISH_SECONDS = 60.0

_LATENCIES = """
SELECT extract(epoch FROM r.finished_at)::float8 AS scored_at,
       extract(epoch FROM r.finished_at - a.accepted_at)::float8 AS seconds
FROM applications a JOIN results r ON r.application_id = a.id ORDER BY r.finished_at
"""


async def measure(directory: Path) -> tuple[list[Sample], Outcome]:
    """Run all of it in an empty directory."""
    port = free_port()
    (directory / "pipeline.yaml").write_text(yaml.safe_dump(RESOURCE), encoding="utf-8")
    arguments = ("--data", str(directory / "data"), "--port", str(port))
    files = ("-f", str(directory / "pipeline.yaml"))
    command = python("-m", "shortlist", "up", *arguments, *files)
    with Child(command, directory / "up.log", {}) as up:
        await until_ready(Server(up, port))
        _say(f"ready; {_SETTLE_SECONDS:g} s until it is calm")
        await asyncio.sleep(_SETTLE_SECONDS)
        lines = (directory / "data" / "env").read_text(encoding="utf-8").splitlines()
        urls = dict(line.split("=", 1) for line in lines)
        watch = Watch(up, urls["DATABASE_URL"], urls["REDIS_URL"])
        _say(f"{LOAD.name}, for {LOAD.horizon_seconds:g} s")
        started_at = time.time() + 1
        watching = asyncio.create_task(watch.run(started_at))
        arrivals = draw(LOAD, SEED).arrivals
        answers = await post_all(f"http://127.0.0.1:{port}", arrivals, started_at)
        rows, attempts = await _finished(urls["DATABASE_URL"], answers[202])
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    add_percentiles(watch.samples, [(row[0] - started_at, row[1]) for row in rows])
    p99 = nearest_rank(sorted(row[1] for row in rows), 0.99)
    return watch.samples, Outcome(dict(answers), len(rows), attempts, p99)


async def _finished(database_url: str, count: int) -> tuple[list[Any], int]:
    """Every result, once all are there, and the number of attempts that they took."""
    connection = await postgres.connect(database_url, application_name="burst")
    deadline = time.monotonic() + _FINISH_SECONDS
    while await connection.fetchval("SELECT count(*) FROM results") < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all are scored {_FINISH_SECONDS:g} s after the last came")
        await asyncio.sleep(0.5)
    rows = await connection.fetch(_LATENCIES)
    attempts = await connection.fetchval("SELECT count(*) FROM attempts")
    await postgres.close_quickly(connection)
    return rows, attempts


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
