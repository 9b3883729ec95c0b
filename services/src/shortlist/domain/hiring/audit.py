"""The audit of an opening: events that are only ever appended, each chained to the one before.

An event says what happened, to which placement, by whom and through what, and how many places were
held and how many applicants waited after it. So the newest event is all that an act has to read of
an opening's past. Names, addresses and free texts are never in an event; a text's digest is.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from shortlist.domain.errors import ShortlistError
from shortlist.domain.hiring.deadlines import iso
from shortlist.domain.hiring.placement import OpeningId, PlacementEvent, PlacementId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shortlist.domain.hiring.placement import Status

OpeningEvent = Literal["OPENED", "RULES_CHANGED", "CLOSED", "REOPENED", "ENDED"]
"""What happens to an opening itself. OPENED is always the first event, with sequence 1."""

EventType = PlacementEvent | OpeningEvent

ActorKind = Literal["person", "link", "key", "system"]
"""Through what an act came: a session, a letter's signed link, a machine's key, or time itself."""

_DOMAIN = b"shortlist hiring audit 1\0"
"""Separates these hashes from any other use of SHA-256 in the product, and from later formats."""

_encode = msgspec.json.Encoder(order="deterministic", decimal_format="string").encode


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. ``reference``: the id of the person, link or key; None for the system."""

    kind: ActorKind
    reference: str | None = None


SYSTEM = Actor("system")


@dataclass(frozen=True, slots=True)
class Event:
    """One event of an opening's audit.

    Attributes:
        sequence: 1, 2, 3 … within the opening, without gaps.
        at: aware, in UTC, in full milliseconds; never before the event before.
        placement_id: None for an event of the opening itself, like ``from_status`` and
        ``to_status``.
        metadata: what the contract asks for, and what `replay` needs; of JSON's types.
        held: ACTIVE and PENDING_ACKNOWLEDGMENT after this event.
        waiting: WAITLIST after this event.
        digest: SHA-256 over the digest before and this event's canonical bytes.
    """

    opening_id: OpeningId
    sequence: int
    at: dt.datetime
    type: EventType
    actor: Actor
    placement_id: PlacementId | None
    from_status: Status | None
    to_status: Status | None
    metadata: Mapping[str, Any]
    held: int
    waiting: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Tail:
    """What an act needs to know of the past: the newest event, or the start of a new chain."""

    opening_id: OpeningId
    sequence: int
    at: dt.datetime
    held: int
    waiting: int
    digest: bytes


class BrokenAuditError(ShortlistError):
    """Events are missing, changed, or contradict each other."""

    def __init__(self, opening_id: OpeningId, sequence: int, problem: str) -> None:
        """``sequence``: of the first event that cannot be right."""
        super().__init__(f"opening {opening_id}, event {sequence}: {problem}")
        self.opening_id = opening_id
        self.sequence = sequence


def start_of_chain(opening_id: OpeningId) -> Tail:
    """Return the tail of an audit without events. Each opening's chain has its own start."""
    digest = sha256(_DOMAIN + b"start\0" + _encode(opening_id)).digest()
    return Tail(opening_id, 0, dt.datetime.min.replace(tzinfo=dt.UTC), 0, 0, digest)


def tail_of(event: Event) -> Tail:
    """Return what the next act needs to know of an event."""
    return Tail(event.opening_id, event.sequence, event.at, event.held, event.waiting, event.digest)


def next_time(clock: dt.datetime, last: dt.datetime) -> dt.datetime:
    """Return the time of the next event: the clock's, in full milliseconds, never before the last.

    Args:
        clock: Postgres's, read after the opening was locked.
        last: the time of the newest event.
    """
    milliseconds = clock.microsecond // 1000
    return max(clock.replace(microsecond=milliseconds * 1000), last)


def appended(
    tail: Tail,
    *,
    at: dt.datetime,
    kind: EventType,
    actor: Actor,
    metadata: Mapping[str, Any],
    placement_id: PlacementId | None = None,
    statuses: tuple[Status | None, Status | None] = (None, None),
    change: tuple[int, int] = (0, 0),
) -> Event:
    """Return the event that follows a tail.

    Args:
        tail: the newest event so far.
        at: by `next_time`.
        kind: what happened.
        actor: who acts.
        metadata: of JSON's types.
        placement_id: whose event it is; None for the opening's own.
        statuses: before and after.
        change: by how much the numbers of held places and of waiting applicants change.
    """
    fields = (
        tail.opening_id,
        tail.sequence + 1,
        at,
        kind,
        actor,
        placement_id,
        statuses[0],
        statuses[1],
        metadata,
        tail.held + change[0],
        tail.waiting + change[1],
    )
    return Event(*fields, _digest(tail.digest, _canonical(*fields)))


def digest_of(event: Event, before: bytes) -> bytes:
    """Return the digest of an event that follows one with the digest ``before``."""
    return _digest(before, canonical(event))


def _digest(before: bytes, written: bytes) -> bytes:
    return sha256(_DOMAIN + before + written).digest()


def canonical(event: Event) -> bytes:
    """Return the bytes that are hashed: JSON with its keys in order, and no digest.

    What JSON or Postgres may write in two ways stands in one: times in UTC with milliseconds.
    """
    return _canonical(
        event.opening_id,
        event.sequence,
        event.at,
        event.type,
        event.actor,
        event.placement_id,
        event.from_status,
        event.to_status,
        event.metadata,
        event.held,
        event.waiting,
    )


def _canonical(
    opening_id: OpeningId, sequence: int, at: dt.datetime, kind: str, actor: Actor, *rest: object
) -> bytes:
    return _encode([opening_id, sequence, iso(at), kind, [actor.kind, actor.reference], *rest])


def reason_digest(reason: str) -> str:
    """Return what the audit keeps of a reason, which is a free text: its SHA-256, in hex."""
    return sha256(reason.encode()).hexdigest()


def verify(tail: Tail, events: Iterable[Event]) -> Tail:
    """Return the last event's tail after checking every link of the chain.

    Args:
        tail: where the events go on: `start_of_chain`, or what an earlier call returned.
        events: in the order of their sequence.

    Raises:
        BrokenAuditError: one is missing, was changed, or is older than the one before.
    """
    for event in events:
        problem = _wrong_link(tail, event)
        if problem:
            raise BrokenAuditError(tail.opening_id, tail.sequence + 1, problem)
        tail = tail_of(event)
    return tail


def _wrong_link(tail: Tail, event: Event) -> str | None:
    if event.opening_id != tail.opening_id:
        return f"belongs to opening {event.opening_id}"
    if event.sequence != tail.sequence + 1:
        return f"is missing; event {event.sequence} follows"
    if event.at < tail.at:
        return "is older than the event before"
    if event.digest != digest_of(event, tail.digest):
        return "was changed, or an event before it"
    return None
