"""Whether what clients were answered is true, and what must hold does: in the load and after it."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from shortlist.storage import postgres as connections
from shortlist.storage.faults import is_outage
from testkit.hiring import postgres
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from testkit.hiring.load.clients import Books
    from testkit.hiring.tables import OpeningTables

_WHO = """
SELECT p.id, p.opening_id, a.email FROM placements p JOIN applicants a ON a.id = p.applicant_id
"""
_CHECK_INTERVAL_SECONDS = 3.0

SETTLED_SECONDS = 5.0
"""After the last fault the leader has settled all that is overdue by then."""


@asynccontextmanager
async def checked_meanwhile(database_url: str) -> AsyncIterator[Counter[str]]:
    """Check what must hold again and again for the length of a block; counts the checks.

    ``whole``: those that Postgres answered; ``ended``: 1 once one has found something wrong.
    """
    looks: Counter[str] = Counter()

    async def look_on() -> None:
        try:
            while True:
                if await _checked_once(database_url):
                    looks["whole"] += 1
                await asyncio.sleep(_CHECK_INTERVAL_SECONDS)
        finally:
            looks["ended"] += 1

    looking = asyncio.create_task(look_on())
    try:
        yield looks
        if looking.done():
            looking.result()  # what it found wrong
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _checked_once(database_url: str) -> bool:
    """Whether Postgres could be asked."""
    try:
        connection = await connections.connect(
            database_url, application_name="checker", timeout_seconds=10
        )
    except Exception as error:
        if not is_outage(error):
            raise
        return False
    try:
        await postgres.check(connection)
    except Exception as error:
        if not is_outage(error):
            raise
        return False
    finally:
        await connections.close_quickly(connection)
    return True


async def is_settled(database_url: str, *, within_seconds: float = SETTLED_SECONDS) -> None:
    """Wait until no offer is overdue, as the leader has it."""
    connection = await connections.connect(database_url, application_name="checker")
    overdue = "SELECT count(*) FROM placements WHERE status = 'p' AND deadline < clock_timestamp()"
    try:

        async def look() -> bool:
            return not await connection.fetchval(overdue)

        await until(look, within_seconds=within_seconds, what="all that is overdue is settled")
    finally:
        await connection.close()


async def audit(
    database_url: str, books: Books, *, unconfirmed: Sequence[tuple[float, float]] = ()
) -> None:
    """What was answered is so; what was refused is not; and all that must hold does.

    Args:
        database_url: as its owner.
        books: of all clients.
        unconfirmed: from when to when (monotonic seconds) Postgres was away or ended connections:
            it may have committed what was under way, and told no client (docs/decisions/0008).
    """
    connection = await connections.connect(database_url, application_name="checker")
    try:
        tables = await postgres.check(connection)
        people = await connection.fetch(_WHO)
        refused = await _refused_and_there(connection, books, unconfirmed)
    finally:
        await connection.close()
    assert not books.flaws, f"not the contract's: {len(books.flaws)}, {books.flaws[:3]}"
    there = {row["id"]: (row["email"], row["opening_id"]) for row in people}
    _nothing_is_lost(books, there)
    _each_person_applied_once(books, there)
    _what_was_done_is_in_the_audit(books, tables)
    assert not refused, f"half done: {len(refused)} were answered 503 and are there, {refused[:3]}"


def _nothing_is_lost(books: Books, there: dict[int, tuple[str, int]]) -> None:
    assert books.accepted, "nothing was accepted: the test would prove nothing"
    lost = {id_: who for id_, who in books.accepted.items() if there.get(id_) != who}
    assert not lost, f"lost: {len(lost)} of {len(books.accepted)} applications that got 201"


def _each_person_applied_once(books: Books, there: dict[int, tuple[str, int]]) -> None:
    """Each address was used for one opening, and with a key if it was used again."""
    twice = [who for who, count in Counter(there.values()).items() if count > 1]
    assert not twice, f"twice: {len(twice)} who applied once have two applications"
    other = [who for who, id_ in books.insisted.items() if there.get(id_) != who]
    assert not other, f"a key was answered with another application: {other[:3]}"


def _what_was_done_is_in_the_audit(books: Books, tables: Sequence[OpeningTables]) -> None:
    done = {(event.placement_id, event.type) for one in tables for event in one.events}
    for kind, ids in (("WITHDRAWN", books.withdrawn), ("ACKNOWLEDGED", books.acknowledged)):
        lost = [id_ for id_ in ids if (id_, kind) not in done]
        assert not lost, f"lost: {len(lost)} of {len(ids)} that were {kind}"


async def _refused_and_there(
    connection: Any, books: Books, unconfirmed: Sequence[tuple[float, float]]
) -> list[Any]:
    """Those who were answered 503, of whom there is something all the same."""
    known = [
        email
        for (email, _), at in books.refused.items()
        if not any(since <= at <= until for since, until in unconfirmed)
    ]
    rows = await connection.fetch("SELECT email FROM applicants WHERE email = ANY($1)", known)
    return [f"{row['email']} after {books.waited[row['email']]:.1f} s" for row in rows]
