"""From a score that is written to the line that is ordered by it."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from loadtest.bench import ours
from loadtest.bench.figure import Figure, Samples, Target
from loadtest.bench.hiring import rows
from loadtest.bench.hiring.deadlines import until_led
from loadtest.bench.hiring.subjects import write_bodies
from loadtest.bench.http import send
from loadtest.bench.load import Load
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.percentiles import nearest_rank
from testkit.hiring.keys import bearer, make_key

if TYPE_CHECKING:
    from loadtest.bench.bench import Bench
    from loadtest.bench.hiring.rows import Connection

_APPLIES_PER_SECOND = 50
_OPENINGS = 20
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.1
_WORKER = {"SHORTLIST_CONCURRENCY": "50", "SHORTLIST_SERVICE_SECONDS": "0.05"}

_TOOK = """
SELECT extract(epoch FROM event.at - score.finished_at)::float8 AS seconds
FROM placement_scores score
JOIN opening_events event ON event.placement_id = score.placement_id AND event.type = 's'
"""


async def run(bench: Bench) -> list[Figure]:
    """p99, at a steady load of applications with a payload, one worker."""
    seconds = [await _reordered(bench, number) for number in range(bench.rounds)]
    return [
        Figure(
            "hiring_reordered", "p99 from a score that is written to the line in its order", "s",
            Samples.of(seconds), Target("at most", 1.0),
            note=f"{_APPLIES_PER_SECOND} scores/s in {_OPENINGS} openings",
        )
    ]  # fmt: skip


async def _reordered(bench: Bench, number: int) -> float:
    count = int(bench.scale(5.0, 20.0) * _APPLIES_PER_SECOND)
    async with bench.place() as place:
        connection = await place.connect()
        await rows.add_applicants(connection, count + 1)
        rules = Rules(capacity=1, order="score")
        made = [await rows.make(connection, rules, waiting=0) for _ in range(_OPENINGS)]
        bodies = [
            {
                "applicantId": applicant + 1,
                "jobId": made[applicant % _OPENINGS].opening_id,
                "payload": f"{applicant}: {'x' * 200}",
            }
            for applicant in range(count)
        ]
        authorization = bearer(await make_key(connection))["Authorization"]
        with ExitStack() as stack:
            stack.enter_context(ours.process(bench, place, "maintenance"))
            await until_led(connection)
            worker = stack.enter_context(ours.process(bench, place, "worker", _WORKER))
            await ours.until_ready(worker)
            async with ours.ingest(bench, place) as door:
                load = Load(
                    door.port, path="/api/apply", authorization=authorization, count=count,
                    bodies_file=str(write_bodies(bench, bodies)), per_second=_APPLIES_PER_SECOND,
                )  # fmt: skip
                report = await asyncio.to_thread(send, load)
                assert set(report.statuses) == {"201"}, report.statuses
            took = await _until_scored(connection, count)
        await connection.close()
    p99 = nearest_rank(sorted(took), 0.99)
    bench.say(f"scores, round {number + 1}: p99 {p99:.2f} s, the last {max(took):.2f} s")
    return p99


async def _until_scored(connection: Connection, count: int) -> list[float]:
    ends = time.monotonic() + _PATIENCE_SECONDS
    while len(took := [row["seconds"] for row in await connection.fetch(_TOOK)]) < count:
        if time.monotonic() > ends:
            raise TimeoutError(f"{len(took)} of {count} scores are in their line")
        await asyncio.sleep(_POLL_SECONDS)
    return took
