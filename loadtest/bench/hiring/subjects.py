"""What is loaded: our own ingest, or the contract in the usual way, each in a place of its own.

Both have the same openings: `HELD` places, all taken, and as many applicants in line as wanted. The
applicants who stand there already have the lowest ids; those after them have not applied yet.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadtest.bench import ours as processes
from loadtest.bench.child import free_port, python, wait_for_port
from loadtest.bench.figures import accepts
from loadtest.bench.hiring import rows
from loadtest.bench.hiring.usual.models import Base, make_engine
from loadtest.bench.http import Turn, turn
from loadtest.bench.load import Load
from shortlist.domain.hiring.opening import Rules
from testkit.hiring.keys import bearer, make_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from loadtest.bench.bench import Bench, Place

HELD = 100
"""More than connections, so that those who withdraw in the order of the line all hold a place."""

APPLICANTS = 300_000
"""Enough for all turns of a run."""

_files = itertools.count(1)

_USUAL = (
    """
    INSERT INTO usual.jobs (title, capacity)
    SELECT 'Opening ' || n, {held} FROM generate_series(1, {openings}) n
    """,
    """
    INSERT INTO usual.applicants (name, email)
    SELECT 'Ada ' || n, 'ada' || n || '@example.org' FROM generate_series(1, {applicants}) n
    """,
    """
    INSERT INTO usual.applications (applicant_id, job_id, status, queue_position)
    SELECT n, job.id,
        CASE WHEN n > {held} THEN 'WAITLIST' ELSE 'ACTIVE' END,
        CASE WHEN n > {held} THEN n - {held} END
    FROM generate_series(1, {held} + {waiting}) n, usual.jobs job
    ORDER BY n, job.id
    """,
    """
    INSERT INTO usual.events (application_id, event_type, to_status, details)
    SELECT id, 'APPLIED', status, jsonb_build_object('jobId', job_id, 'applicantId', applicant_id)
    FROM usual.applications
    """,
)


@dataclass
class Subject:
    """A server, and what it has.

    Attributes:
        openings: their ids.
        placements: of each opening, in the order of its line; the first `HELD` hold its places.
        applicants: ids of those who have not applied anywhere, each given out once.
        authorization: the header that its clients send.
    """

    title: str
    server: processes.Server
    openings: Sequence[int]
    placements: Sequence[Sequence[int]]
    applicants: Iterator[int] = field(repr=False)
    authorization: str | None = None

    async def apply(self, bench: Bench, seconds: float, at_most_per_second: int) -> Turn:
        """Let new applicants apply to the openings by turns, from 64 connections.

        ``at_most_per_second``: a generous guess, of which enough bodies are made.
        """
        count = int((seconds + 1) * at_most_per_second)
        openings = itertools.cycle(self.openings)
        bodies = (
            {"applicantId": applicant, "jobId": opening}
            for applicant, opening in zip(
                itertools.islice(self.applicants, count), openings, strict=False
            )
        )
        path = write_bodies(bench, bodies)
        load = Load(
            self.server.port,
            path="/api/apply",
            bodies_file=str(path),
            authorization=self.authorization,
            seconds=seconds,
        )
        return await asyncio.to_thread(turn, self.server.child, load, "201")

    async def withdraw(self, bench: Bench, first: int, count: int) -> Turn:
        """Let so many withdraw, beginning with each opening's ``first``: each promotes the next."""
        each = count // len(self.openings)
        placements = [line[first : first + each] for line in self.placements]
        bodies = ({"applicationId": one} for nth in zip(*placements, strict=True) for one in nth)
        path = write_bodies(bench, bodies)
        load = Load(
            self.server.port,
            path="/api/withdraw",
            bodies_file=str(path),
            authorization=self.authorization,
            count=each * len(placements),
        )
        return await asyncio.to_thread(turn, self.server.child, load, "200")


def write_bodies(bench: Bench, bodies: Iterable[Mapping[str, object]]) -> Path:
    """Write a file for `Load.bodies_file`."""
    path = bench.directory / f"bodies-{next(_files)}"
    path.write_text("\n".join(map(json.dumps, bodies)), encoding="utf-8")
    return path


@asynccontextmanager
async def ours(bench: Bench, *, openings: int, waiting: int) -> AsyncIterator[Subject]:
    """Serve it with our own ingest, as it is by default: a key is asked for."""
    async with bench.place() as place:
        connection = await place.connect()
        await rows.add_applicants(connection, APPLICANTS)
        rules = Rules(capacity=HELD)
        made = [await rows.make(connection, rules, waiting=waiting) for _ in range(openings)]
        await connection.execute("VACUUM (ANALYZE)")
        key = await make_key(connection)
        await connection.close()
        async with processes.ingest(bench, place) as server:
            yield Subject(
                "Shortlist",
                server,
                [one.opening_id for one in made],
                [[*one.holders, *one.waiting] for one in made],
                iter(range(HELD + waiting + 1, APPLICANTS + 1)),
                bearer(key)["Authorization"],
            )


@contextmanager
def bare(bench: Bench, *, openings: int) -> Iterator[Subject]:
    """Serve a handler that stores nothing."""
    with accepts.bare(bench) as server:
        yield Subject(
            "bare FastAPI", server, range(1, openings + 1), [], iter(range(1, sys.maxsize))
        )


@asynccontextmanager
async def usual(bench: Bench, *, openings: int, waiting: int) -> AsyncIterator[Subject]:
    """Serve the contract in the usual way."""
    async with bench.place() as place:
        await _fill_usual(place, openings, waiting)
        port = free_port()
        command = python("-m", "loadtest.bench.hiring.usual", str(port))
        with bench.child("usual", command, place.environment) as child:
            wait_for_port(child, port)
            ids = range(1, openings + 1)
            everyone = range(HELD + waiting)
            yield Subject(
                "the usual way",
                processes.Server(child, port),
                ids,
                [[openings * n + opening for n in everyone] for opening in ids],
                iter(range(HELD + waiting + 1, APPLICANTS + 1)),
            )


async def _fill_usual(place: Place, openings: int, waiting: int) -> None:
    engine = make_engine(place.database_url)
    connection = await place.connect()
    await connection.execute("CREATE SCHEMA usual")
    async with engine.begin() as begun:
        await begun.run_sync(Base.metadata.create_all)
    await engine.dispose()
    for statement in _USUAL:
        await connection.execute(
            statement.format(held=HELD, openings=openings, waiting=waiting, applicants=APPLICANTS)
        )
    await connection.execute("VACUUM (ANALYZE)")
    await connection.close()
