"""What a company does to placements by hand, each with a reason, and takes back within 15 minutes.

Each placement has an outcome of its own: what cannot be done to one is done to the others. A dry
run decides as usual, and the caller writes nothing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, assert_never

from shortlist.domain.hiring.draft import Draft, Refused
from shortlist.domain.hiring.ordering import LineKey, inserted, joined, rescored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shortlist.domain.hiring.audit import Actor, Event
    from shortlist.domain.hiring.placement import Placement, PlacementEvent, PlacementId, Status

Action = Literal["promote", "remove", "move", "reinstate"]

Result = Literal[
    "promoted",
    "removed",
    "moved",
    "reinstated",
    "undone",
    "no_place",
    "not_waiting",
    "already_inactive",
    "not_inactive",
    "applied_again",
    "ended",
    "changed_since",
]
"""What became of one placement. From ``no_place`` on: nothing, for this reason."""

UNDO_WINDOW = dt.timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an act did to one placement, and how that stands now."""

    result: Result
    placement: Placement


@dataclass(frozen=True, slots=True)
class CompanyAct:
    """An action on 1 to 1 000 placements of one opening.

    Attributes:
        targets: as they stand under the lock, in the order in which the company named them.
        live_elsewhere: of the targets' applicants, who has another live placement here.
        previous: of a move: the key in front of the wanted position, of those who wait and are no
            target; None at the head. Read after what was overdue has been settled and written.
        following: the key behind it; None at the end of the line.
    """

    actor: Actor
    action_id: str
    action: Action
    targets: tuple[Placement, ...]
    reason_digest: str
    live_elsewhere: frozenset[PlacementId] = frozenset()
    previous: LineKey | None = None
    following: LineKey | None = None


@dataclass(frozen=True, slots=True)
class Undo:
    """Takes an action back. ``events``: that action's own, of ``targets``, in the same order."""

    actor: Actor
    action_id: str
    targets: tuple[Placement, ...]
    events: tuple[Event, ...]
    live_elsewhere: frozenset[PlacementId] = frozenset()


def decide_by_hand(draft: Draft, act: CompanyAct | Undo) -> tuple[Outcome, ...] | Refused:
    """Decide what a company does by hand, placement by placement, and who is promoted by it."""
    return _undo(draft, act) if isinstance(act, Undo) else _act(draft, act)


def _act(draft: Draft, act: CompanyAct) -> tuple[Outcome, ...]:
    hand = _Hand(draft, act.actor, {"actionId": act.action_id, "reasonDigest": act.reason_digest})
    previous = act.previous
    outcomes = []
    for target in act.targets:
        placement = draft.current(target)
        match act.action:
            case "promote":
                outcome = hand.promote(placement)
            case "remove":
                outcome = hand.remove(placement)
            case "move":
                outcome = hand.move(placement, previous, act.following)
                previous = outcome.placement.key if outcome.result == "moved" else previous
            case "reinstate":
                outcome = hand.reinstate(placement, applied_again=target.id in act.live_elsewhere)
            case _:
                assert_never(act.action)
        outcomes.append(outcome)
    draft.fill()
    return _now(draft, outcomes)


def _undo(draft: Draft, act: Undo) -> tuple[Outcome, ...] | Refused:
    """Decide to take an action back, the last placement first; refused after 15 minutes.

    Who was promoted by the action keeps the offer. A placement to which anything has happened since
    stays as it is.
    """
    if any(draft.now > event.at + UNDO_WINDOW for event in act.events):
        return Refused("GONE", "An action can be undone for 15 minutes.")
    hand = _Hand(draft, act.actor, {"undoes": act.action_id})
    outcomes = []
    for target, event in reversed(tuple(zip(act.targets, act.events, strict=True))):
        placement = draft.current(target)
        if placement.last_sequence != event.sequence:
            outcomes.append(Outcome("changed_since", placement))
        elif target.id in act.live_elsewhere:
            outcomes.append(Outcome("applied_again", placement))
        else:
            outcomes.append(hand.undo(placement, event))
    draft.fill()
    return _now(draft, outcomes[::-1])


def _now(draft: Draft, outcomes: list[Outcome]) -> tuple[Outcome, ...]:
    """Return the outcomes with each placement as the draft leaves it."""
    return tuple(replace(o, placement=draft.current(o.placement)) for o in outcomes)


def where(placement: Placement) -> dict[str, Any]:
    """Return a placement's place in line, of JSON's types, as the events of moves keep it."""
    key = placement.key
    return {
        "misses": key.misses,
        "rank": key.rank,
        "ordinal": str(key.ordinal),
        "moved": placement.moved,
    }


def key_of(document: Mapping[str, Any], placement_id: PlacementId) -> LineKey:
    """Return the key that `where` wrote."""
    return LineKey(
        document["misses"], float(document["rank"]), Decimal(document["ordinal"]), placement_id
    )


@dataclass(frozen=True, slots=True)
class _Hand:
    """One person's, or machine's, act on a draft: each method is one placement's outcome."""

    draft: Draft
    actor: Actor
    metadata: Mapping[str, Any]

    def promote(self, placement: Placement) -> Outcome:
        """Offer a place out of turn, if there is one."""
        if placement.status != "WAITLIST":
            return Outcome("not_waiting", placement)
        opening = self.draft.opening
        if self.draft.tail.held >= opening.rules.capacity:
            return Outcome("no_place", placement)
        offered = self.draft.promote(placement, actor=self.actor, **self._with(placement))
        return Outcome("promoted", offered)

    def remove(self, placement: Placement) -> Outcome:
        """End a placement, whatever it holds."""
        if placement.status == "INACTIVE":
            return Outcome("already_inactive", placement)
        gone = replace(placement, status="INACTIVE", promoted_at=None, deadline=None)
        return Outcome("removed", self._record("WITHDRAWN", placement, gone))

    def move(
        self, placement: Placement, previous: LineKey | None, following: LineKey | None
    ) -> Outcome:
        """Put a waiting placement between two others."""
        if placement.status != "WAITLIST":
            return Outcome("not_waiting", placement)
        key = inserted(previous, following, otherwise=self._at_the_end(placement))
        return Outcome("moved", self._put("MOVED", placement, key, moved=True))

    def reinstate(self, placement: Placement, *, applied_again: bool) -> Outcome:
        """Bring an inactive placement back: to a free place, or to the end of the line."""
        if placement.status != "INACTIVE":
            return Outcome("not_inactive", placement)
        if applied_again or self.draft.live(placement.applicant_id):
            return Outcome("applied_again", placement)
        if self.draft.opening.state == "ended":
            return Outcome("ended", placement)
        if self.draft.free and self.draft.opening.rules.confirm == "promoted":
            return Outcome("reinstated", self._give_place(placement))
        key = self._at_the_end(placement)
        return Outcome("reinstated", self._put("REINSTATED", placement, key, moved=False))

    def undo(self, placement: Placement, event: Event) -> Outcome:
        """Take one event of an action back; nothing has happened to the placement since."""
        if self.draft.opening.state == "ended":
            return Outcome("ended", placement)
        was = event.metadata["was"]
        moved = was["moved"]
        before = replace(placement, key=key_of(was, placement.id), moved=moved)
        key = rescored(self.draft.opening.rules.order, before, placement.score)
        match event.type:
            case "PROMOTED":
                undone = self._put("PROMOTION_UNDONE", placement, key, moved=moved)
            case "MOVED":
                undone = self._put("MOVED", placement, key, moved=moved)
            case "REINSTATED":
                gone = replace(placement, status="INACTIVE", promoted_at=None, deadline=None)
                undone = self._record("WITHDRAWN", placement, gone)
            case "WITHDRAWN":
                undone = self._bring_back(placement, event.from_status, key, moved=moved)
            case _:
                raise ValueError(f"{event.type} is no act of a company")
        return Outcome("undone", undone)

    def _bring_back(
        self, placement: Placement, status: Status | None, key: LineKey, *, moved: bool
    ) -> Placement:
        """Return a removed placement to its old place in line; or to its place, if it is free."""
        if status == "WAITLIST":
            return self._put("REINSTATED", placement, key, moved=moved)
        if status == "ACTIVE" and self.draft.free:
            return self._give_place(placement)
        first = self.draft.first_in_line()
        key = inserted(None, first.key if first else None, otherwise=self._at_the_end(placement))
        return self._put("REINSTATED", placement, key, moved=True)

    def _give_place(self, placement: Placement) -> Placement:
        return self._record("REINSTATED", placement, replace(placement, status="ACTIVE"))

    def _put(
        self, kind: PlacementEvent, placement: Placement, key: LineKey, *, moved: bool
    ) -> Placement:
        """Have a placement wait at a key."""
        waiting = replace(
            placement, status="WAITLIST", key=key, moved=moved, promoted_at=None, deadline=None
        )
        return self._record(kind, placement, waiting, now=where(waiting))

    def _at_the_end(self, placement: Placement) -> LineKey:
        """Return the key by the order's own rule of a placement that joins the line now."""
        return joined(
            self.draft.opening.rules.order,
            placement.id,
            sequence=self.draft.next_sequence,
            applied_sequence=placement.applied_sequence,
            misses=placement.misses,
            score=placement.score,
        )

    def _record(
        self, kind: PlacementEvent, before: Placement, after: Placement, **metadata: object
    ) -> Placement:
        return self.draft.record(
            kind,
            before,
            after,
            actor=self.actor,
            metadata={**self._with(before), **metadata},
        )

    def _with(self, before: Placement) -> dict[str, Any]:
        """Return what each event of the act carries: which act, and where the placement stood."""
        return {**self.metadata, "was": where(before)}
