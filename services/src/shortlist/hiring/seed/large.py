"""Writes a year of many openings, as acts would have: all of it in one transaction, or nothing."""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING, NamedTuple

from shortlist.domain.email_addresses import email_key
from shortlist.domain.hiring.acts import Decision
from shortlist.domain.hiring.draft import Opening
from shortlist.domain.hiring.settling import next_due
from shortlist.hiring.seed.history import History, plan
from shortlist.hiring.seed.people import person, position
from shortlist.hiring.transactions import locking
from shortlist.hiring.transactions.writing import write
from shortlist.storage.postgres.queries.hiring import opening_events, openings
from shortlist.storage.postgres.queries.hiring.commands import seeds
from shortlist.storage.postgres.queries.hiring.opening_events import EventRow
from shortlist.storage.postgres.queries.hiring.openings import Texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shortlist.domain.hiring.placement import ApplicantId, OpeningId
    from shortlist.hiring.seed.history import Plan, Step
    from shortlist.storage.postgres import Connection

APPLICANTS = 10_000
OPENINGS = 80
APPLY = (40, 500)
"""How many apply to an opening: a fifth of the applicants to none, the others to two or three."""

_TOGETHER = 500
"""Events that are written at once, as many as an act writes at most."""

_IDS = 1_000
_EVER = dt.datetime.min.replace(tzinfo=dt.UTC)


class Made(NamedTuple):
    """How much was made."""

    openings: int
    applicants: int
    events: int


class Size(NamedTuple):
    """How much to make; ``seed`` of the chance: the same one makes the same year."""

    applicants: int = APPLICANTS
    openings: int = OPENINGS
    seed: int = 1


_WHOLE = Size()


async def seed_large(connection: Connection, size: Size = _WHOLE) -> Made | None:
    """Make applicants, and a year of openings to which they applied; None: they are there."""
    chance = random.Random(size.seed)
    async with connection.transaction():
        if await seeds.is_there(connection, email_key(person(1, chance).email)):
            return None
        now = await seeds.clock(connection)
        applicants = await _add_applicants(connection, size.applicants, now, chance)
        events = 0
        for planned in sorted(
            (plan(chance, now) for _ in range(size.openings)), key=lambda one: one.posted_at
        ):
            applying = chance.sample(applicants, min(len(applicants), chance.randint(*APPLY)))
            events += await _make(connection, planned, applying, now, chance)
    return Made(size.openings, len(applicants), events)


async def _add_applicants(
    connection: Connection, count: int, now: dt.datetime, chance: random.Random
) -> list[ApplicantId]:
    people = [person(number, chance) for number in range(1, count + 1)]
    year = dt.timedelta(days=365)
    return await seeds.add_applicants(
        connection,
        names=[one.name for one in people],
        emails=[one.email for one in people],
        email_keys=[email_key(one.email) for one in people],
        times=sorted(now - year * chance.random() for _ in people),
    )


async def _make(
    connection: Connection,
    planned: Plan,
    applicants: Sequence[ApplicantId],
    now: dt.datetime,
    chance: random.Random,
) -> int:
    """Make one opening with its past; returns how many events that has."""
    opening_id = await openings.new_id(connection)
    ids = iter(await seeds.draw_placement_ids(connection, len(applicants)))
    history = History(opening_id, planned, lambda: next(ids), chance)
    history.run(now, applicants)
    texts = Texts(position(chance), None, None, verify_email=False)
    due_at = next_due(Opening(planned.rules), _EVER)
    await openings.insert(connection, opening_id, texts, planned.rules, due_at)
    await seeds.set_created_at(connection, opening_id, history.first.at)
    await opening_events.append(connection, [EventRow(history.first, None, None)])
    for steps in _together(history.steps):
        await _write(connection, opening_id, steps)
    return len(history.events)


def _together(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Split a history into parts of some hundred events."""
    together: list[Step] = []
    count = 0
    for step in steps:
        together.append(step)
        count += len(step.changes)
        if count >= _TOGETHER:
            yield together
            together, count = [], 0
    if together:
        yield together


async def _write(connection: Connection, opening_id: OpeningId, steps: Sequence[Step]) -> None:
    """Write some steps as one transaction would have decided them."""
    changes = tuple(change for step in steps for change in step.changes)
    after = {change.after.id: change.after for change in changes if change.after is not None}
    state = await locking.lock(connection, [opening_id], after)
    decision = Decision(
        changes=changes,
        placements=tuple(after.values()),
        opening=steps[-1].opening,
        answers=(),
        left=(),
        again=False,
    )
    await write(connection, state, {opening_id: decision})
