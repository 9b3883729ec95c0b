"""The scaling policy on real processes: ``uv run --group plots python -m loadtest.burst``.

Starts `shortlist up`, sends it a burst over loopback, and looks at it once a second: the line and
the workers' heartbeats in Redis, the workers' connections in ``pg_stat_activity``. How long each
application took is asked of Postgres in the end. Prints a table, writes ``docs/burst.svg``,
``docs/burst.csv`` and what ``docs/autoscaling.md`` says of them; takes four and a half minutes.
For people: on a machine that does other things, those are in the figures too.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import psutil
import yaml

from loadtest.bench.child import ROOT, Child, free_port, python
from loadtest.bench.ours import Server, until_ready
from loadtest.document import put
from loadtest.document import table as markdown_table
from loadtest.experiments.loads import Load, bursts, draw
from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.domain.percentiles import nearest_rank
from shortlist.domain.sizing.pipeline import parse_pipeline
from shortlist.storage import postgres, redis, snapshots

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCS = ROOT / "docs"
SEED = 1

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

_SETTLE_SECONDS = 60.0
"""By then one worker is left of those that `shortlist up` begins with."""

_FINISH_SECONDS = 60.0
_WINDOW_SECONDS = 5.0
"""Percentiles are of the applications that were scored in so many seconds."""

_PRINTED_EVERY = 5

_LATENCIES = """
SELECT extract(epoch FROM r.finished_at)::float8 AS scored_at,
       extract(epoch FROM r.finished_at - a.accepted_at)::float8 AS seconds
FROM applications a JOIN results r ON r.application_id = a.id ORDER BY r.finished_at
"""


@dataclass
class Sample:
    """One second. Rates are per second; percentiles are submit to scored, in seconds."""

    second: float
    arriving: float
    waiting: int
    in_flight: int
    starting: int
    ready: int
    leaving: int
    """Draining, or ending after that."""
    connections_open: int
    connections_granted: int
    connections_budget: int
    p50_seconds: float | None = None
    p99_seconds: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of all applications."""

    answers: dict[int, int]
    scored: int
    attempts: int
    p99_seconds: float

    @property
    def is_good(self) -> bool:
        """Whether all were accepted, and each was scored at its first attempt."""
        return self.answers == {202: self.scored} and self.attempts == self.scored


class Watch:
    """Samples a running `shortlist up`, each second."""

    def __init__(self, up: Child, database_url: str, redis_url: str) -> None:
        """Connects when it is run."""
        self._up = up
        self._database_url = database_url
        self._redis = redis.connect(redis_url)
        self._memory = snapshots.LineMemory()
        self._before = (0.0, 0)
        self._reported: set[int] = set()
        self.samples: list[Sample] = []

    async def run(self, started_at: float) -> None:
        """Until cancelled; ``started_at`` is Unix time, and second 0."""
        connection = await postgres.connect(self._database_url, application_name="burst")
        try:
            while True:
                await asyncio.sleep(started_at + len(self.samples) - time.time())
                self.samples.append(await self._sample(connection, started_at))
        finally:
            await postgres.close_quickly(connection)
            await self._redis.aclose()

    async def _sample(self, connection: postgres.Connection, started_at: float) -> Sample:
        look = await snapshots.look_at_line(self._redis, DEFAULT_PIPELINE, self._memory)
        at = time.time()
        counted = await snapshots.look_at_connections(connection)
        processes = await asyncio.to_thread(_workers, self._up.pid)
        ready = sum(not beat.draining for beat in look.live)
        self._reported |= {beat.pid for beat in look.live}
        reserved = parse_pipeline(RESOURCE).connections.reserved
        return Sample(
            second=round(at - started_at, 2),
            arriving=self._arriving(look, at),
            waiting=look.reading.waiting,
            in_flight=sum(beat.in_flight for beat in look.live),
            starting=len(processes - self._reported),
            ready=ready,
            leaving=max(0, len(processes & self._reported) - ready),
            connections_open=sum(counted.open_by_worker.values()),
            connections_granted=sum(grant.connections for grant in look.grants.values()),
            connections_budget=counted.limits.budget(reserved),
        )

    def _arriving(self, look: snapshots.LineSnapshot, at: float) -> float:
        (before, count), now = self._before, (at, look.reading.submissions)
        self._before = now
        return round((now[1] - count) / (now[0] - before), 1) if before else 0.0


def _workers(up: int) -> set[int]:
    """The worker processes of a `shortlist up`."""
    return {child.pid for child in psutil.Process(up).children() if _is_worker(child)}


def _is_worker(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[-2:] == ["shortlist", "worker"]
    except psutil.NoSuchProcess:
        return False


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


def add_percentiles(samples: Sequence[Sample], scored: Sequence[tuple[float, float]]) -> None:
    """``scored``: for each application the second it was scored in, and how long it had taken."""
    for sample in samples:
        since = sample.second - _WINDOW_SECONDS
        recent = sorted(took for at, took in scored if since < at <= sample.second)
        if recent:
            sample.p50_seconds = round(nearest_rank(recent, 0.50), 3)
            sample.p99_seconds = round(nearest_rank(recent, 0.99), 3)


def table(samples: Sequence[Sample]) -> str:
    """Markdown, every fifth sample."""
    rows = [asdict(sample).values() for sample in samples[::_PRINTED_EVERY]]
    cells = [["–" if value is None else f"{value:g}" for value in row] for row in rows]
    return markdown_table([field.name for field in fields(Sample)], cells)


def summary(samples: Sequence[Sample], outcome: Outcome, load_before: float) -> str:
    """What came of it, in words."""
    busiest = max(samples, key=lambda sample: sample.ready)
    answers = ", ".join(f"{count} answered {status}" for status, count in outcome.answers.items())
    return (
        f"{LOAD.name}, on {os.cpu_count()} cores whose load was {load_before:.1f} before: "
        f"{answers}; {outcome.scored} scored in {outcome.attempts} attempts, p99 "
        f"{outcome.p99_seconds:.2f} s; up to {busiest.ready} workers, and at most "
        f"{max(sample.connections_open for sample in samples)} connections of "
        f"{busiest.connections_budget}."
    )


def _write_csv(path: Path, samples: Sequence[Sample]) -> None:
    with path.open("w", encoding="utf-8", newline="") as output:
        writer = csv.DictWriter(output, [f.name for f in fields(Sample)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(sample) for sample in samples)


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Measure, print, write; 1 when anything was refused, lost, or scored at a second attempt."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.burst", description=__doc__)
    parser.add_argument("--out", type=Path, default=DOCS, help="directory to write into")
    out: Path = parser.parse_args().out
    if find_spec("matplotlib") is None:
        sys.exit("not installed: matplotlib. uv run --group plots python -m loadtest.burst")
    from loadtest.experiments.burst_plot import draw_plot  # noqa: PLC0415 (it is there)

    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory:
        samples, outcome = asyncio.run(measure(Path(directory)))
    words = summary(samples, outcome, load_before)
    print(f"{table(samples)}\n\n{words}")
    _write_csv(out / "burst.csv", samples)
    draw_plot(samples, LOAD.name, out / "burst.svg")
    if out == DOCS:
        put(DOCS / "autoscaling.md", "burst", words)
    return int(not outcome.is_good)


if __name__ == "__main__":
    sys.exit(main())
