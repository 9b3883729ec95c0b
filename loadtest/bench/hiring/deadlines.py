"""Deadlines: a thousand at once, and how late they are met under load and after a kill."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from loadtest.bench import ours
from loadtest.bench.figure import Figure, Samples, Target
from loadtest.bench.hiring import rows
from loadtest.bench.hiring.subjects import write_bodies
from loadtest.bench.http import send
from loadtest.bench.load import Load
from shortlist.domain.hiring.opening import CAPACITY_MAX, Rules
from shortlist.domain.percentiles import nearest_rank
from testkit.hiring.keys import bearer, make_key

if TYPE_CHECKING:
    from loadtest.bench.bench import Bench, Place
    from loadtest.bench.hiring.rows import Connection

_DUE = 1_000
_DUE_IN_SECONDS = 2.0
_WINDOW_SECONDS = 1
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.02

_APPLIES_PER_SECOND = 200
_OPENINGS = 1_000
"""Each sees an application every five seconds: it is the leader that meets its deadlines."""

_LEADER = "SELECT holder FROM leases WHERE name = 'maintenance' AND expires_at > clock_timestamp()"

_LATENESS = """
SELECT extract(epoch FROM missed.at - (offered.metadata ->> 'acknowledgeDeadline')::timestamptz)
    ::float8 AS late, missed.at
FROM opening_events missed
JOIN opening_events offered ON offered.placement_id = missed.placement_id AND offered.type = 'p'
WHERE missed.type = 'd'
"""


async def run(bench: Bench) -> list[Figure]:
    """Seconds from a deadline to the promotion of the next; and lateness at a steady load."""
    one: list[float] = []
    many: list[float] = []
    late: list[float] = []
    killed: list[float] = []
    for number in range(bench.rounds):
        one.append(await _due_at_once(bench, openings=1))
        many.append(await _due_at_once(bench, openings=_DUE))
        steady, after = await _lateness(bench)
        late.append(steady)
        killed.append(after)
        bench.say(
            f"deadlines, round {number + 1}: {_DUE} in one opening {one[-1]:.2f} s, in {_DUE}"
            f" {many[-1]:.2f} s; late {late[-1]:.2f} s, after a kill {killed[-1]:.2f} s"
        )
    due = f"{_DUE} deadlines at the same moment, until all have decayed and the next are promoted"
    lateness = f"lateness of deadlines at {_APPLIES_PER_SECOND} applies/s"
    return [
        Figure("hiring_deadlines_one", f"{due}, in one opening", "s", Samples.of(one),
               Target("at most", 2.0)),
        Figure("hiring_deadlines_many", f"{due}, in {_DUE} openings", "s", Samples.of(many),
               Target("at most", 2.0)),
        Figure("hiring_lateness", f"p99 of the {lateness}", "s", Samples.of(late),
               Target("at most", 1.0), note=f"in {_OPENINGS} openings"),
        Figure("hiring_lateness_killed", f"greatest {lateness}, the leader killed", "s",
               Samples.of(killed), Target("at most", 5.0)),
    ]  # fmt: skip


async def _due_at_once(bench: Bench, *, openings: int) -> float:
    """Let the offers of all holders end at the same moment, with as many waiting behind them."""
    async with bench.place() as place:
        connection = await place.connect()
        each = _DUE // openings
        await rows.add_applicants(connection, 2 * each)
        rules = Rules(capacity=each)
        for _ in range(openings):
            await rows.make(connection, rules, waiting=each)
        with ours.process(bench, place, "maintenance"):
            await until_led(connection)
            due = await _offer(connection)
            return await _until_settled(connection, due)


async def _offer(connection: Connection) -> dt.datetime:
    """Turn the places of all holders into offers that end in a moment, the same for all."""
    due = await connection.fetchval(
        "SELECT date_trunc('milliseconds', clock_timestamp() + $1 * interval '1 s')",
        _DUE_IN_SECONDS,
    )
    await connection.execute(
        "UPDATE placements SET status = 'p', promoted_at = since, deadline = $1 WHERE status = 'a'",
        due,
    )
    assert isinstance(due, dt.datetime)
    return due


async def _until_settled(connection: Connection, due: dt.datetime) -> float:
    """Wait until no offer of then is left and each place is offered again; the seconds since."""
    ends = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < ends:
        now, left, offered = await connection.fetchrow(
            "SELECT clock_timestamp(), count(*) FILTER (WHERE deadline <= $1),"
            " count(*) FILTER (WHERE deadline > $1) FROM placements WHERE status = 'p'",
            due,
        )
        if not left and offered == _DUE:
            return float((now - due).total_seconds())
        await asyncio.sleep(_POLL_SECONDS)
    raise TimeoutError(f"{left} offers left, {offered} made after {_PATIENCE_SECONDS:g} s")


async def until_led(connection: Connection) -> None:
    """Wait until a replica of maintenance leads."""
    ends = time.monotonic() + _PATIENCE_SECONDS
    while not await connection.fetchval(_LEADER):
        if time.monotonic() > ends:
            raise TimeoutError("no replica of maintenance leads")
        await asyncio.sleep(_POLL_SECONDS)


async def _lateness(bench: Bench) -> tuple[float, float]:
    """p99 until the leader is killed, and the greatest from then on; seconds.

    All are offered a place and let it pass, which ends their placement. Another replica waits to
    lead.
    """
    seconds = bench.scale(10.0, 30.0)
    count = int(seconds * _APPLIES_PER_SECOND)
    async with bench.place() as place:
        connection = await place.connect()
        await rows.add_applicants(connection, count)
        rules = Rules(CAPACITY_MAX, _WINDOW_SECONDS, confirm="everyone", max_misses=1)
        made = [await rows.make(connection, rules, waiting=0) for _ in range(_OPENINGS)]
        bodies = [
            {"applicantId": number + 1, "jobId": made[number % _OPENINGS].opening_id}
            for number in range(count)
        ]
        load = Load(
            0, path="/api/apply", count=count, per_second=_APPLIES_PER_SECOND,
            bodies_file=str(write_bodies(bench, bodies)),
            authorization=bearer(await make_key(connection))["Authorization"],
        )  # fmt: skip
        killed_at = await _kill_the_leader_under(bench, place, connection, load, seconds / 2)
        late = await connection.fetch(_LATENESS)
        await connection.close()
    assert len(late) == count
    before = sorted(row["late"] for row in late if row["at"] < killed_at)
    return nearest_rank(before, 0.99), max(row["late"] for row in late if row["at"] >= killed_at)


async def _kill_the_leader_under(
    bench: Bench, place: Place, connection: Connection, load: Load, after_seconds: float
) -> dt.datetime:
    """Send a load, kill the leader in the middle, and wait until all is settled; when it was."""
    with ExitStack() as stack:
        leader = stack.enter_context(ours.process(bench, place, "maintenance"))
        await until_led(connection)
        other = stack.enter_context(ours.process(bench, place, "maintenance"))
        await ours.until_ready(other)
        async with ours.ingest(bench, place) as door:
            sending = asyncio.create_task(asyncio.to_thread(send, replace(load, port=door.port)))
            await asyncio.sleep(after_seconds)
            leader.child.kill()
            killed_at = await connection.fetchval("SELECT clock_timestamp()")
            report = await sending
        assert set(report.statuses) == {"201"}, report.statuses
        await _until_none_pending(connection)
    assert isinstance(killed_at, dt.datetime)
    return killed_at


async def _until_none_pending(connection: Connection) -> None:
    ends = time.monotonic() + _PATIENCE_SECONDS
    while await connection.fetchval("SELECT count(*) FROM placements WHERE status = 'p'"):
        if time.monotonic() > ends:
            raise TimeoutError("deadlines that no process meets")
        await asyncio.sleep(_POLL_SECONDS)
