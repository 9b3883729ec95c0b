"""Locks openings, and reads what the asks about them need to become acts."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shortlist.domain.hiring.acts import needed_of_line
from shortlist.domain.hiring.draft import BATCH, Locked
from shortlist.runtime.failpoints import failpoint
from shortlist.storage.postgres.queries.hiring import (
    applicants,
    opening_events,
    openings,
    placements,
)
from shortlist.storage.postgres.queries.hiring.applicants import Person
from shortlist.storage.postgres.queries.hiring.placements import HeadOf

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from shortlist.domain.hiring.acts import Act
    from shortlist.domain.hiring.placement import ApplicantId, OpeningId, Placement, PlacementId
    from shortlist.hiring.transactions.asked import Applying
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.queries.hiring.applicants import Found, Live
    from shortlist.storage.postgres.queries.hiring.opening_events import AuditEnd
    from shortlist.storage.postgres.queries.hiring.openings import OpeningRow
    from shortlist.storage.postgres.queries.hiring.placements import PlacementRow


@dataclass(slots=True)
class LockedState:
    """What a transaction has locked and read.

    Attributes:
        locked_at: when (`time.monotonic`).
        openings: locked; those that are not there are left out.
        ends: of their audits.
        placements: all that were read, by id.
        applicants: who applies by id, with their live placement in the opening.
        people: who applies by address.
    """

    locked_at: float
    openings: dict[OpeningId, OpeningRow]
    ends: dict[OpeningId, AuditEnd] = field(default_factory=dict)
    placements: dict[PlacementId, PlacementRow] = field(default_factory=dict)
    applicants: Mapping[tuple[ApplicantId, OpeningId], Live] = field(default_factory=dict)
    people: Mapping[tuple[str, OpeningId], Found] = field(default_factory=dict)

    def opening_of(self, placement_id: PlacementId) -> OpeningId | None:
        """Return the opening of a placement that was named; None when there is no such one."""
        row = self.placements.get(placement_id)
        return None if row is None else row.opening_id


async def lock(
    connection: Connection,
    opening_ids: Collection[OpeningId],
    named: Collection[PlacementId] = (),
    new: Mapping[OpeningId, int] | None = None,
    *,
    waits: bool = True,
) -> LockedState:
    """Lock openings, and those of named placements, and read where they stand.

    Args:
        connection: in a transaction.
        opening_ids: to be locked.
        named: placements that asks name.
        new: how many ids of new placements each opening needs.
        waits: for those that another transaction holds; else they are as if they were not there.
    """
    take = openings.lock if waits else openings.lock_free
    rows = await take(connection, opening_ids, named)
    await failpoint("hiring.after_lock")
    state = LockedState(time.monotonic(), rows)
    if named:
        state.placements = await placements.by_id(connection, named)
    await read_ends(connection, state, new or {})
    return state


async def read_ends(
    connection: Connection, state: LockedState, new: Mapping[OpeningId, int]
) -> None:
    """Read the ends of the locked openings' audits, and the clock."""
    if state.openings:
        counts = [new.get(opening_id, 0) for opening_id in state.openings]
        rows = list(state.openings.values())
        state.ends = await opening_events.ends(connection, rows, counts)


async def find_applicants(
    connection: Connection, state: LockedState, asks: Sequence[Applying]
) -> None:
    """Find who applies, and make who is not known yet."""
    by_id = {(ask.who, ask.opening_id) for ask in asks if not isinstance(ask.who, Person)}
    if by_id:
        state.applicants = await applicants.applying(connection, by_id)
    by_address = [
        (ask.who, ask.opening_id)
        for ask in asks
        if isinstance(ask.who, Person) and ask.opening_id in state.openings
    ]
    if by_address:
        state.people = await applicants.applying_by_address(connection, by_address)


def count_new(asks: Sequence[Applying]) -> Counter[OpeningId]:
    """Count the placements that may be made in each opening."""
    return Counter(ask.opening_id for ask in asks)


async def read_lines(
    connection: Connection, state: LockedState, acts: Mapping[OpeningId, Sequence[Act]]
) -> dict[OpeningId, Locked]:
    """Read the offers that have ended, and as much of each line as its acts may reach."""
    offers = await _ended_offers(connection, state)
    locked = {
        opening_id: Locked(row.opening, end.tail, end.clock, tuple(offers.get(opening_id, ())))
        for opening_id, row in state.openings.items()
        for end in [state.ends[opening_id]]
    }
    heads = await _heads(connection, state, locked, acts)
    return {
        opening_id: Locked(
            one.opening, one.tail, one.clock, one.ended_offers, tuple(heads.get(opening_id, ()))
        )
        for opening_id, one in locked.items()
    }


async def _ended_offers(
    connection: Connection, state: LockedState
) -> dict[OpeningId, list[Placement]]:
    wanted = [
        (opening_id, end.since, end.before)
        for opening_id, end in state.ends.items()
        if end.has_ended_offers
    ]
    if not wanted:
        return {}
    return _kept(state, await placements.ended_offers(connection, wanted, BATCH))


async def _heads(
    connection: Connection,
    state: LockedState,
    locked: Mapping[OpeningId, Locked],
    acts: Mapping[OpeningId, Sequence[Act]],
) -> dict[OpeningId, list[Placement]]:
    wanted = []
    for opening_id, one in locked.items():
        if count := needed_of_line(one, acts.get(opening_id, ())):
            wanted.append(HeadOf(opening_id, state.ends[opening_id].first_floor, count))
    if not wanted:
        return {}
    return _kept(state, await placements.heads(connection, wanted))


def _kept(state: LockedState, rows: Sequence[PlacementRow]) -> dict[OpeningId, list[Placement]]:
    """Note rows that were read, and return their placements by opening, in order."""
    by_opening: dict[OpeningId, list[Placement]] = {}
    for row in rows:
        state.placements[row.placement.id] = row
        by_opening.setdefault(row.opening_id, []).append(row.placement)
    return by_opening
