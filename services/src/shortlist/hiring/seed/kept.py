"""An opening that is kept in memory while its history is made: what storage is to a decision."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from shortlist.domain.hiring.acts import decide, needed_of_line
from shortlist.domain.hiring.audit import tail_of
from shortlist.domain.hiring.draft import BATCH, Locked

if TYPE_CHECKING:
    import datetime as dt

    from shortlist.domain.hiring.acts import Act
    from shortlist.domain.hiring.audit import Tail
    from shortlist.domain.hiring.draft import Change, Opening
    from shortlist.domain.hiring.ordering import LineKey
    from shortlist.domain.hiring.placement import ApplicantId, OpeningId, Placement, PlacementId


@dataclass
class KeptOpening:
    """One opening's row, newest event, placements, and line."""

    id: OpeningId
    opening: Opening
    tail: Tail
    placements: dict[PlacementId, Placement] = field(default_factory=dict)
    live: dict[ApplicantId, PlacementId] = field(default_factory=dict)
    """Each applicant's placement that is not INACTIVE."""
    _line: list[tuple[LineKey, PlacementId]] = field(default_factory=list)
    _offers: dict[PlacementId, dt.datetime] = field(default_factory=dict)

    def decide(self, clock: dt.datetime, *acts: Act) -> list[Change]:
        """Do what is due at a time, and some acts; returns what has changed, in order."""
        changes: list[Change] = []
        again = True
        while again:
            decision = decide(self._locked(clock, acts), acts)
            for change in decision.changes:
                self._take_over(change)
            self.opening = decision.opening
            changes += decision.changes
            again, acts = decision.again, decision.left
        return changes

    def _locked(self, clock: dt.datetime, acts: tuple[Act, ...]) -> Locked:
        """Return what storage would read."""
        is_over = self.opening.state == "ended"
        ended = sorted((at, id_) for id_, at in self._offers.items() if is_over or at < clock)
        locked = Locked(
            opening=self.opening,
            tail=self.tail,
            clock=clock,
            ended_offers=tuple(self.placements[id_] for _, id_ in ended[:BATCH]),
        )
        head = self._line[: needed_of_line(locked, acts)]
        return replace(locked, head=tuple(self.placements[id_] for _, id_ in head))

    def _take_over(self, change: Change) -> None:
        event, before, after = change.event, change.before, change.after
        self.tail = tail_of(event)
        if before is not None and before.status == "WAITLIST":
            del self._line[bisect_left(self._line, (before.key, before.id))]
        if after is None:
            return
        self.placements[after.id] = after
        if after.status == "WAITLIST":
            insort(self._line, (after.key, after.id))
        self._offers.pop(after.id, None)
        if after.deadline is not None:
            self._offers[after.id] = after.deadline
        self.live[after.applicant_id] = after.id
        if after.status == "INACTIVE":
            del self.live[after.applicant_id]
