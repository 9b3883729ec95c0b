"""A placement: one applicant's standing in one opening, its states and the ways between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NewType

from shortlist.domain.errors import ShortlistError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from shortlist.domain.hiring.ordering import LineKey

OpeningId = NewType("OpeningId", int)
ApplicantId = NewType("ApplicantId", int)
PlacementId = NewType("PlacementId", int)
"""What the contract calls an application's id."""

Status = Literal["ACTIVE", "WAITLIST", "PENDING_ACKNOWLEDGMENT", "INACTIVE"]

PlacementEvent = Literal[
    "APPLIED",
    "PROMOTED",
    "ACKNOWLEDGED",
    "WITHDRAWN",
    "DECAY_TRIGGERED",
    "SCORED",
    "MOVED",
    "REINSTATED",
    "PROMOTION_UNDONE",
]
"""What happens to a placement. The first five are the contract's; WITHDRAWN is also a removal by
the company, and the end of an opening: the event's actor and metadata tell them apart."""

_SAME: frozenset[tuple[Status | None, Status]] = frozenset(
    (status, status) for status in ("ACTIVE", "WAITLIST", "PENDING_ACKNOWLEDGMENT", "INACTIVE")
)

LEGAL: Mapping[PlacementEvent, frozenset[tuple[Status | None, Status]]] = {
    "APPLIED": frozenset({(None, "ACTIVE"), (None, "WAITLIST")}),
    "PROMOTED": frozenset({("WAITLIST", "PENDING_ACKNOWLEDGMENT")}),
    "ACKNOWLEDGED": frozenset({("PENDING_ACKNOWLEDGMENT", "ACTIVE")}),
    "WITHDRAWN": frozenset(
        {
            ("ACTIVE", "INACTIVE"),
            ("WAITLIST", "INACTIVE"),
            ("PENDING_ACKNOWLEDGMENT", "INACTIVE"),
        }
    ),
    "DECAY_TRIGGERED": frozenset(
        {("PENDING_ACKNOWLEDGMENT", "WAITLIST"), ("PENDING_ACKNOWLEDGMENT", "INACTIVE")}
    ),
    "SCORED": _SAME,
    "MOVED": frozenset({("WAITLIST", "WAITLIST")}),
    "REINSTATED": frozenset({("INACTIVE", "WAITLIST"), ("INACTIVE", "ACTIVE")}),
    "PROMOTION_UNDONE": frozenset({("PENDING_ACKNOWLEDGMENT", "WAITLIST")}),
}
"""The legal transitions, by what causes them. The first five rows together are the contract's list;
only the company's own acts leave INACTIVE or take an offer back."""


class IllegalTransitionError(ShortlistError, ValueError):
    """A placement cannot go from its status to another by this event (422 in the contract)."""

    def __init__(self, event: PlacementEvent, before: Status | None, after: Status) -> None:
        """Say which transition was asked for."""
        super().__init__(f"{event} does not lead from {before or 'nothing'} to {after}")
        self.event = event
        self.before = before
        self.after = after


def check_transition(event: PlacementEvent, before: Status | None, after: Status) -> None:
    """Raise `IllegalTransitionError` unless the event may lead from one status to the other."""
    if (before, after) not in LEGAL[event]:
        raise IllegalTransitionError(event, before, after)


@dataclass(frozen=True, slots=True)
class Placement:
    """One applicant's standing in one opening. Times are aware, in UTC.

    Attributes:
        key: where it stands, or last stood, in the line.
        applied_sequence: of its APPLIED event in the opening's audit; who applied first.
        misses: offers that it let pass; the contract's ``penaltyCount``.
        score: 0 to 100, higher is better; None until scored, or when scoring failed.
        moved: the company put it where it stands; a score that arrives does not move it.
        last_event: what changed its standing last, which a score does not.
        last_sequence: that event's.
        promoted_at: when the offer was made that led to its place; None if there was none.
        deadline: until when it may acknowledge; set only while PENDING_ACKNOWLEDGMENT.
    """

    id: PlacementId
    applicant_id: ApplicantId
    status: Status
    key: LineKey
    applied_sequence: int
    applied_at: dt.datetime
    since: dt.datetime
    last_event: PlacementEvent
    last_sequence: int
    misses: int = 0
    score: float | None = None
    moved: bool = False
    promoted_at: dt.datetime | None = None
    deadline: dt.datetime | None = None

    @property
    def holds_a_place(self) -> bool:
        """Whether it counts against the capacity: ACTIVE or PENDING_ACKNOWLEDGMENT."""
        return self.status in ("ACTIVE", "PENDING_ACKNOWLEDGMENT")


def held_by(status: Status | None) -> int:
    """Return how many places a status takes: 1 or 0."""
    return int(status in ("ACTIVE", "PENDING_ACKNOWLEDGMENT"))


def waiting_by(status: Status | None) -> int:
    """Return how many stand in line by a status: 1 or 0."""
    return int(status == "WAITLIST")
