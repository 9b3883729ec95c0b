"""Writes what was decided on the openings of one transaction, in a fixed number of statements."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from shortlist.domain.hiring.audit import SYSTEM, next_time
from shortlist.domain.hiring.settling import next_due
from shortlist.storage.postgres.queries.hiring import (
    floors,
    line,
    opening_events,
    openings,
    payloads,
    placements,
)
from shortlist.storage.postgres.queries.hiring.codec import encode_key
from shortlist.storage.postgres.queries.hiring.opening_events import EventRow
from shortlist.storage.postgres.queries.hiring.placements import PlacementRow, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shortlist.domain.hiring.acts import Decision
    from shortlist.domain.hiring.draft import Change
    from shortlist.domain.hiring.placement import OpeningId, Placement, PlacementId
    from shortlist.domain.line.application import NewApplication
    from shortlist.hiring.transactions.locking import LockedState
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.queries.hiring.openings import OpeningRow, Texts


@dataclass(slots=True)
class _Rows:
    """What is to be written, of all openings."""

    events: list[EventRow] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    new: list[PlacementRow] = field(default_factory=list)
    changed: list[PlacementRow] = field(default_factory=list)
    openings: list[OpeningRow] = field(default_factory=list)


async def write(
    connection: Connection,
    state: LockedState,
    decisions: Mapping[OpeningId, Decision],
    *,
    scorings: Mapping[PlacementId, NewApplication] | None = None,
    texts: Mapping[OpeningId, Texts] | None = None,
) -> list[NewApplication]:
    """Write decisions, and return what was submitted for scoring.

    Args:
        connection: whose transaction has the openings locked.
        state: what was read.
        decisions: by opening.
        scorings: the payloads of placements; those that were not made are not submitted.
        texts: of openings whose texts change.
    """
    rows = _Rows()
    for opening_id, decision in decisions.items():
        _add(rows, state, opening_id, decision, (texts or {}).get(opening_id))
    accepted = {
        row.placement.id: (row.opening_id, scorings[row.placement.id])
        for row in rows.new
        if scorings and row.placement.id in scorings
    }
    if rows.events:
        await opening_events.append(connection, rows.events)
    if rows.new:
        scoring_ids = {placement_id: new.id for placement_id, (_, new) in accepted.items()}
        await placements.insert(connection, rows.new, scoring_ids)
    if rows.changed:
        await placements.update(connection, rows.changed)
    if rows.spans:
        await placements.end_standings(connection, rows.spans)
    if accepted:
        await payloads.submit(connection, accepted)
    for row in rows.openings:
        await openings.update(connection, row)
    await _write_fences(connection, state, decisions)
    return [new for _, new in accepted.values()]


def _add(
    rows: _Rows,
    state: LockedState,
    opening_id: OpeningId,
    decision: Decision,
    texts: Texts | None,
) -> None:
    """Add one opening's rows."""
    stands_from: dict[PlacementId, int] = {}
    under = state.ends[opening_id].floors
    for change in decision.changes:
        under = _add_event(rows, change, under)
        _add_span(rows, state, change, stands_from)
    if decision.changes:
        last = rows.events[-1]
        rows.events[-1] = EventRow(last.event, last.leaves, last.joins, under)
    for placement in decision.placements:
        before = state.placements.get(placement.id)
        since = stands_from.get(placement.id, before.stands_from if before else 0)
        row = PlacementRow(opening_id, placement, since)
        (rows.changed if before else rows.new).append(row)
    _add_opening(rows, state, opening_id, decision, texts)


def _add_event(rows: _Rows, change: Change, under: floors.Floors) -> floors.Floors:
    """Add an event, and return the floors after it."""
    event = change.event
    leaves, joins = _key_in_line(change.before), _key_in_line(change.after)
    rows.events.append(EventRow(event, leaves, joins))
    if leaves == joins:
        return under
    if leaves is not None:
        is_first = event.type == "PROMOTED" and event.actor == SYSTEM  # as a place is filled
        under = floors.after_leave(under, leaves, was_first=is_first)
    if joins is not None:
        under = floors.after_join(under, joins, others=event.waiting - 1)
    return under


def _key_in_line(placement: Placement | None) -> bytes | None:
    if placement is None or placement.status != "WAITLIST":
        return None
    return encode_key(placement.key)


def _add_span(
    rows: _Rows, state: LockedState, change: Change, stands_from: dict[PlacementId, int]
) -> None:
    """Add where a placement stood until an event, if it stands elsewhere from then on."""
    before, after, event = change.before, change.after, change.event
    if after is None:
        return
    if before is None:
        stands_from[after.id] = event.sequence
    elif (before.status, before.key) != (after.status, after.key):
        since = stands_from.get(after.id) or state.placements[after.id].stands_from
        rows.spans.append(Span(event.opening_id, before, since, event.sequence))
        stands_from[after.id] = event.sequence


def _add_opening(
    rows: _Rows,
    state: LockedState,
    opening_id: OpeningId,
    decision: Decision,
    texts: Texts | None,
) -> None:
    """Add the opening's row if the company or time changed it, or time has something else to do."""
    row, end = state.openings[opening_id], state.ends[opening_id]
    now = next_time(end.clock, end.tail.at)
    opening = decision.opening
    due_at = now if decision.again else next_due(opening, now)
    has_other_texts = texts is not None and texts != row.texts
    if opening is not row.opening or due_at != row.due_at or has_other_texts:
        rows.openings.append(replace(row, opening=opening, texts=texts or row.texts, due_at=due_at))


async def _write_fences(
    connection: Connection, state: LockedState, decisions: Mapping[OpeningId, Decision]
) -> None:
    """Write the next fences of those lines that have changed enough."""
    for opening_id, decision in decisions.items():
        before = state.ends[opening_id].tail.sequence
        after = before + len(decision.changes)
        if line.may_need_fences(before, after):
            await line.next_fences(connection, opening_id, after)
