"""The fold of an audit: events become tables again, as they were at any event or time."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast, get_args

from shortlist.domain.hiring.audit import BrokenAuditError, Event, OpeningEvent
from shortlist.domain.hiring.company_acts import key_of
from shortlist.domain.hiring.draft import Opening
from shortlist.domain.hiring.opening import Rules, rules_from_json
from shortlist.domain.hiring.ordering import joined, rescored
from shortlist.domain.hiring.placement import (
    ApplicantId,
    OpeningId,
    Placement,
    PlacementEvent,
    PlacementId,
    check_transition,
    held_by,
    waiting_by,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

_OF_OPENINGS = frozenset(get_args(OpeningEvent))


@dataclass(slots=True)
class Standing:
    """An opening and its placements after some events. ``sequence``: the last event's."""

    opening_id: OpeningId
    opening: Opening | None = None
    placements: MutableMapping[PlacementId, Placement] = field(default_factory=dict)
    sequence: int = 0
    held: int = 0
    waiting: int = 0

    def line(self) -> list[Placement]:
        """Return who waits, in the line's order."""
        waiting = (p for p in self.placements.values() if p.status == "WAITLIST")
        return sorted(waiting, key=lambda placement: placement.key)

    def holders(self) -> list[Placement]:
        """Return who is ACTIVE or PENDING_ACKNOWLEDGMENT, in the order in which they got places."""
        holding = (p for p in self.placements.values() if p.holds_a_place)
        return sorted(holding, key=lambda p: (p.promoted_at or p.since, p.applied_sequence))


def replay(
    opening_id: OpeningId,
    events: Iterable[Event],
    *,
    as_of: dt.datetime | None = None,
    sequence: int | None = None,
    start: Standing | None = None,
) -> Standing:
    """Return how an opening stood.

    Args:
        opening_id: whose audit it is.
        events: in order, from the first after ``start``.
        as_of: events at this time, to the millisecond, have happened; None: all of them.
        sequence: of the last event that counts; None: all of them.
        start: a snapshot to go on from. It is changed.

    Raises:
        BrokenAuditError: an event is missing, or says something that cannot be.
    """
    standing = start or Standing(opening_id)
    for event in events:
        if as_of is not None and event.at > as_of:
            break
        if sequence is not None and event.sequence > sequence:
            break
        apply(standing, event)
    return standing


def apply(standing: Standing, event: Event) -> None:
    """Change a standing by the next event.

    Raises:
        BrokenAuditError: it is not the next one, or says something that cannot be.
    """
    if event.sequence != standing.sequence + 1:
        raise BrokenAuditError(standing.opening_id, standing.sequence + 1, "is missing")
    _change(standing, event)
    standing.sequence = event.sequence
    standing.held += held_by(event.to_status) - held_by(event.from_status)
    standing.waiting += waiting_by(event.to_status) - waiting_by(event.from_status)
    if (standing.held, standing.waiting) != (event.held, event.waiting):
        raise BrokenAuditError(standing.opening_id, event.sequence, "has other totals")


def placement_after(
    opening_id: OpeningId, placement_id: PlacementId, events: Iterable[Event]
) -> Placement | None:
    """Return one placement after some events: at least its own and its opening's.

    Raises:
        BrokenAuditError: an event says something that cannot be.
    """
    standing = Standing(opening_id)
    for event in events:
        _change(standing, event)
    return standing.placements.get(placement_id)


def _change(standing: Standing, event: Event) -> None:
    """Change what an event is about: the opening, or one placement."""
    try:
        if event.type in _OF_OPENINGS:
            standing.opening = _opening_after(standing.opening, event)
        else:
            _apply_to_placement(standing, event)
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenAuditError(
            standing.opening_id, event.sequence, f"cannot be: {error}"
        ) from error


def _opening_after(opening: Opening | None, event: Event) -> Opening:
    """Return an opening after an event of its own."""
    if event.type == "OPENED" or opening is None:
        return Opening(rules_from_json(event.metadata))
    version = opening.version + 1
    match cast("OpeningEvent", event.type):
        case "CLOSED":
            return replace(opening, state="closed", version=version)
        case "ENDED":
            return replace(opening, state="ended", version=version)
        case "REOPENED":
            return Opening(rules_from_json(event.metadata), "open", version)
        case _:
            return replace(opening, rules=rules_from_json(event.metadata), version=version)


def _apply_to_placement(standing: Standing, event: Event) -> None:
    """Change the placement that an event is about."""
    kind = cast("PlacementEvent", event.type)
    if event.placement_id is None or event.to_status is None or standing.opening is None:
        raise ValueError("it names no placement, or comes before the opening")
    rules = standing.opening.rules
    placement = standing.placements.get(event.placement_id)
    if (placement and placement.status) != event.from_status:
        raise ValueError(f"the placement is {placement and placement.status} before it")
    check_transition(kind, event.from_status, event.to_status)
    after = _first(event, rules) if placement is None else _next(placement, event, rules)
    since = after.since if event.from_status == event.to_status else event.at
    after = replace(after, status=event.to_status, since=since)
    if kind != "SCORED":
        after = replace(after, last_event=kind, last_sequence=event.sequence)
    standing.placements[after.id] = after


def _first(event: Event, rules: Rules) -> Placement:
    """Return the placement that an application makes."""
    placement_id = cast("PlacementId", event.placement_id)
    return Placement(
        id=placement_id,
        applicant_id=ApplicantId(event.metadata["applicantId"]),
        status="WAITLIST",
        key=joined(
            rules.order,
            placement_id,
            sequence=event.sequence,
            applied_sequence=event.sequence,
        ),
        applied_sequence=event.sequence,
        applied_at=event.at,
        since=event.at,
        last_event="APPLIED",
        last_sequence=event.sequence,
    )


def _next(placement: Placement, event: Event, rules: Rules) -> Placement:
    """Return a placement with what an event says besides the status."""
    match cast("PlacementEvent", event.type):
        case "PROMOTED":
            deadline = dt.datetime.fromisoformat(event.metadata["acknowledgeDeadline"])
            return replace(placement, promoted_at=event.at, deadline=deadline)
        case "ACKNOWLEDGED":
            return replace(placement, deadline=None)
        case "DECAY_TRIGGERED":
            return _decayed(placement, event, rules)
        case "SCORED":
            score = event.metadata["score"]
            is_waiting = event.to_status == "WAITLIST"
            key = rescored(rules.order, placement, score) if is_waiting else placement.key
            return replace(placement, score=score, key=key)
        case _:
            return _put(placement, event)


def _decayed(placement: Placement, event: Event, rules: Rules) -> Placement:
    """Return a placement after a miss: at the end of the line, or where it was when it left."""
    missed = replace(
        placement, misses=event.metadata["penaltyCount"], promoted_at=None, deadline=None
    )
    if event.to_status == "INACTIVE":
        return missed
    key = joined(
        rules.order,
        placement.id,
        sequence=event.sequence,
        applied_sequence=placement.applied_sequence,
        misses=missed.misses,
        score=placement.score,
    )
    return replace(missed, key=key, moved=False)


def _put(placement: Placement, event: Event) -> Placement:
    """Return a placement after it left, came back, or was put elsewhere in line."""
    rest = replace(placement, promoted_at=None, deadline=None)
    now = event.metadata.get("now")
    if now is None:
        return rest
    return replace(rest, key=key_of(now, placement.id), moved=now["moved"])
