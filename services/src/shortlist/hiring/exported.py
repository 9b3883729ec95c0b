"""Verifies an exported audit alone: without the database that it came from.

An export is one event a line, as JSON (`AuditEvent`). What a chain of hashes shows is an event that
was changed, put in, or taken out of the middle. Events that were cut off at the end it shows only
to a reader who knows a digest from before: that digest must still be in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from shortlist.domain.errors import ShortlistError
from shortlist.domain.hiring.audit import Actor, BrokenAuditError, Event, start_of_chain, verify
from shortlist.domain.hiring.placement import OpeningId, PlacementId
from shortlist.domain.hiring.replay import Standing, apply
from shortlist.hiring.views import AuditEvent

if TYPE_CHECKING:
    from collections.abc import Iterable


class NotAnAuditError(ShortlistError):
    """A file holds something else than the audit of one opening."""


@dataclass(frozen=True, slots=True)
class Verified:
    """An audit that is whole. ``head``: its last event's digest."""

    opening_id: OpeningId
    events: int
    head: bytes


def verify_export(lines: Iterable[str], head: bytes | None = None) -> Verified:
    """Check every link of an exported audit, and that each event can follow the one before.

    Args:
        lines: of the file; empty ones are passed over.
        head: a digest that was printed before; it must be among the events'.

    Raises:
        NotAnAuditError: a line is no event, or there is none.
        BrokenAuditError: an event is missing, was changed, or cannot be.
    """
    standing: Standing | None = None
    knows_head = head is None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        event = _event(number, line)
        if standing is None:
            standing = Standing(event.opening_id)
            tail = start_of_chain(event.opening_id)
        tail = verify(tail, [event])
        apply(standing, event)
        knows_head = knows_head or event.digest == head
    if standing is None:
        raise NotAnAuditError("there is no event in it")
    if not knows_head:
        raise BrokenAuditError(
            standing.opening_id, tail.sequence, "is the last one, and none has that head"
        )
    return Verified(standing.opening_id, tail.sequence, tail.digest)


def _event(number: int, line: str) -> Event:
    """Return the event of a line."""
    try:
        view = AuditEvent.model_validate_json(line)
        digest = bytes.fromhex(view.digest)
    except (ValidationError, ValueError):
        raise NotAnAuditError(f"line {number} is no event of an audit") from None
    placement_id = view.application_id
    return Event(
        opening_id=OpeningId(view.job_id),
        sequence=view.sequence,
        at=view.created_at,
        type=view.event_type,
        actor=Actor(view.actor.kind, view.actor.reference),
        placement_id=None if placement_id is None else PlacementId(placement_id),
        from_status=view.from_status,
        to_status=view.to_status,
        metadata=view.metadata,
        held=view.held,
        waiting=view.waiting,
        digest=digest,
    )
