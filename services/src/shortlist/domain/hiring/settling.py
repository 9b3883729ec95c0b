"""What time has caused: offers that ran out, places to be filled from now on, openings that close.

It is settled before anything else happens to an opening, so that no call profits from a deadline
that has passed; by each act, and by the leader when nothing else happens.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shortlist.domain.hiring.audit import SYSTEM
from shortlist.domain.hiring.deadlines import iso
from shortlist.domain.hiring.draft import BATCH, Draft, Locked
from shortlist.domain.hiring.ordering import joined, new_position

if TYPE_CHECKING:
    import datetime as dt

    from shortlist.domain.hiring.draft import Opening
    from shortlist.domain.hiring.placement import Placement


def settle(locked: Locked) -> tuple[Draft, bool]:
    """Begin a draft with all that time has caused.

    Returns:
        The draft, and whether there is more to settle than one transaction may (`BATCH`): then
        commit this draft, lock again, and settle again.
    """
    draft = Draft(locked)
    _close_in_time(draft)
    if draft.opening.state == "ended":
        return draft, not _send_home(draft, locked)
    for placement in locked.ended_offers:
        if placement.deadline is not None and placement.deadline < draft.now:
            _decay(draft, placement)
    filled = draft.fill(most=len(draft.missed) + BATCH)
    return draft, not filled or len(locked.ended_offers) == BATCH


def next_due(opening: Opening, now: dt.datetime) -> dt.datetime | None:
    """Return when time next changes an opening itself, beside its offers; None: never.

    Args:
        opening: its rules and state, after it was settled.
        now: when it was settled; what was due until then has happened.
    """
    rules = opening.rules
    closes_at = rules.closes_at if opening.state == "open" else None
    fill_from = rules.fill_from if rules.fill_from and rules.fill_from > now else None
    return min((time for time in (closes_at, fill_from) if time is not None), default=None)


def _close_in_time(draft: Draft) -> None:
    """Close an opening whose ``closesAt`` has come."""
    opening = draft.opening
    closes_at = opening.rules.closes_at
    if opening.state == "open" and closes_at is not None and draft.now >= closes_at:
        draft.record_opening(
            "CLOSED",
            replace(opening, state="closed"),
            actor=SYSTEM,
            metadata={"closesAt": iso(closes_at)},
        )


def _decay(draft: Draft, placement: Placement) -> None:
    """Send a placement whose offer ran out back to the line, or home after its last miss."""
    rules = draft.opening.rules
    misses = placement.misses + 1
    is_last = rules.max_misses is not None and misses >= rules.max_misses
    key = joined(
        rules.order,
        placement.id,
        sequence=draft.next_sequence,
        applied_sequence=placement.applied_sequence,
        misses=misses,
        score=placement.score,
    )
    draft.missed.add(placement.id)
    draft.record(
        "DECAY_TRIGGERED",
        placement,
        replace(
            placement,
            status="INACTIVE" if is_last else "WAITLIST",
            key=placement.key if is_last else key,
            misses=misses,
            moved=placement.moved and is_last,
            promoted_at=None,
            deadline=None,
        ),
        actor=SYSTEM,
        metadata={
            "penaltyCount": misses,
            "newPosition": None if is_last else new_position(draft.tail.waiting, misses),
        },
    )


def _send_home(draft: Draft, locked: Locked) -> bool:
    """End the offers and the waiting of an opening that has ended; whether all have gone home."""
    for placement in (*locked.ended_offers, *locked.head):
        draft.record(
            "WITHDRAWN",
            placement,
            replace(placement, status="INACTIVE", promoted_at=None, deadline=None),
            actor=SYSTEM,
            metadata={"cause": "ENDED"},
        )
    return not draft.tail.waiting and len(locked.ended_offers) < BATCH
