"""What applicants, scores and companies do to an opening: each rule of hiring, once.

`decide` takes what storage read under the opening's lock and one or more acts that wait for it. It
returns what is to be written. What is overdue is settled first. An act that is refused writes
nothing of its own, but what time had caused is written with the refusal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, assert_never

from shortlist.domain.hiring.audit import Actor, Event, appended, next_time, start_of_chain
from shortlist.domain.hiring.company_acts import (
    CompanyAct,
    Outcome,
    Undo,
    decide_by_hand,
)
from shortlist.domain.hiring.deadlines import iso
from shortlist.domain.hiring.draft import (
    BATCH,
    Change,
    Draft,
    Locked,
    Opening,
    Refused,
    head_needed,
)
from shortlist.domain.hiring.opening import Rules, fills, rules_to_json
from shortlist.domain.hiring.ordering import joined, rescored
from shortlist.domain.hiring.placement import Placement
from shortlist.domain.hiring.settling import settle

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from shortlist.domain.hiring.placement import ApplicantId, OpeningId, PlacementId


@dataclass(frozen=True, slots=True)
class Apply:
    """An applicant applies. ``live``: their placement here that is not INACTIVE under the lock."""

    actor: Actor
    applicant_id: ApplicantId
    placement_id: PlacementId
    live: PlacementId | None


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """An applicant takes the place that was offered."""

    actor: Actor
    placement: Placement


@dataclass(frozen=True, slots=True)
class Withdraw:
    """An applicant leaves, or the company removes them by the same call."""

    actor: Actor
    placement: Placement


@dataclass(frozen=True, slots=True)
class Score:
    """A score arrived. ``score``: 0 to 100; None: scoring failed, and a person has to look."""

    actor: Actor
    placement: Placement
    scoring_id: str
    score: float | None


@dataclass(frozen=True, slots=True)
class ChangeRules:
    """The company changes the rules, which are checked already (`check_rules`).

    Attributes:
        actor: who changes them.
        rules: all of them, as they shall be.
        version: what the company saw; None: whatever there is.
        texts: whether title, description, or what else is not in the audit changes too: the event,
            and with it the version, tells that something did.
    """

    actor: Actor
    rules: Rules
    version: int | None = None
    texts: bool = False


@dataclass(frozen=True, slots=True)
class ChangeState:
    """The company closes, reopens or ends the opening. ``reason_digest``: of its reason, in hex."""

    actor: Actor
    change: Literal["close", "reopen", "end"]
    reason_digest: str | None = None


Act = Apply | Acknowledge | Withdraw | Score | ChangeRules | ChangeState | CompanyAct | Undo

Answer = Placement | Opening | tuple[Outcome, ...] | Refused
"""What an act leads to: a placement, the opening, an outcome for each placement, or a refusal."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one transaction writes, and answers.

    Attributes:
        changes: events in order, to be appended, each with what it changes.
        placements: new or changed, as they are to be stored.
        opening: as it is to be stored.
        answers: one for each act that was done, in order.
        left: the acts after these, of which the first may have been done in part.
        again: there is more to do than one transaction may. Commit this, lock again, and decide
            again on what is ``left``.
    """

    changes: tuple[Change, ...]
    placements: tuple[Placement, ...]
    opening: Opening
    answers: tuple[Answer, ...]
    left: tuple[Act, ...]
    again: bool

    @property
    def events(self) -> tuple[Event, ...]:
        """Those of the changes."""
        return tuple(change.event for change in self.changes)


def open_opening(opening_id: OpeningId, rules: Rules, *, actor: Actor, clock: dt.datetime) -> Event:
    """Return the first event of a new opening, whose rules are checked already."""
    tail = start_of_chain(opening_id)
    return appended(
        tail,
        at=next_time(clock, tail.at),
        kind="OPENED",
        actor=actor,
        metadata={"jobId": opening_id, **rules_to_json(rules)},
    )


def reach(act: Act) -> int:
    """Return how far into the line an act may reach: what `head_needed` adds up."""
    match act:
        case Apply() | Acknowledge():
            return 0  # no place becomes free by them
        case Withdraw() | Score():
            return 1
        case ChangeRules() | ChangeState():
            return BATCH
        case CompanyAct() | Undo():
            return 2 * len(act.targets) + 1
        case _:
            assert_never(act)


def needed_of_line(locked: Locked, acts: Sequence[Act]) -> int:
    """Return how many of the first in line storage has to read; ``head`` may be empty yet."""
    all_go_home = BATCH if locked.opening.state == "ended" else 0
    return head_needed(locked, sum(map(reach, acts)) + all_go_home)


def decide(locked: Locked, acts: Sequence[Act] = ()) -> Decision:
    """Decide what happens: what is overdue, then each act in turn.

    Without acts this is what the leader does when a deadline has passed.

    Raises:
        HeadTooShortError: ``locked.head`` holds fewer than `needed_of_line`.
    """
    draft, again = settle(locked)
    answers: list[Answer] = []
    left = list(acts)
    while left and not again:
        answer = _answer(draft, left[0])
        again = _is_unfinished(draft, left[0], answer)
        if again:
            left[0] = _the_rest(left[0])
        else:
            answers.append(answer)
            left.pop(0)
    return Decision(
        changes=tuple(draft.changes),
        placements=tuple(draft.placements.values()),
        opening=draft.opening,
        answers=tuple(answers),
        left=tuple(left),
        again=again,
    )


def _the_rest(act: Act) -> Act:
    """Return what is left of an act that was done in part: its version was right, and is past."""
    return replace(act, version=None, texts=False) if isinstance(act, ChangeRules) else act


def _answer(draft: Draft, act: Act) -> Answer:
    answer: Answer
    match act:
        case Apply():
            answer = _apply(draft, act)
        case Acknowledge():
            answer = _acknowledge(draft, act)
        case Withdraw():
            answer = _withdraw(draft, act)
        case Score():
            answer = _score(draft, act)
        case ChangeRules():
            answer = _change_rules(draft, act)
        case ChangeState():
            answer = _change_state(draft, act)
        case CompanyAct() | Undo():
            answer = decide_by_hand(draft, act)
        case _:
            assert_never(act)
    return answer


def _apply(draft: Draft, act: Apply) -> Placement | Refused:
    if draft.is_live(act.live) or draft.live(act.applicant_id):
        return Refused("DUPLICATE_SUBMISSION", "You have already applied here.")
    if draft.opening.state != "open":
        return Refused("CONFLICT", "This opening takes no more applications.")
    sequence = draft.next_sequence
    rules = draft.opening.rules
    is_direct = draft.free > 0 and rules.confirm == "promoted"  # all is settled: so no one waits
    placement = Placement(
        id=act.placement_id,
        applicant_id=act.applicant_id,
        status="ACTIVE" if is_direct else "WAITLIST",
        key=joined(rules.order, act.placement_id, sequence=sequence, applied_sequence=sequence),
        applied_sequence=sequence,
        applied_at=draft.now,
        since=draft.now,
        last_event="APPLIED",
        last_sequence=sequence,
    )
    metadata = {"applicantId": act.applicant_id}
    draft.record("APPLIED", None, placement, actor=act.actor, metadata=metadata)
    draft.fill()
    return draft.current(placement)


def _acknowledge(draft: Draft, act: Acknowledge) -> Placement | Refused:
    placement = draft.current(act.placement)
    is_late = placement.id in draft.missed or placement.last_event == "DECAY_TRIGGERED"
    if is_late:
        return Refused(
            "GONE", "The deadline has passed; the place was offered to the next in line."
        )
    if placement.status != "PENDING_ACKNOWLEDGMENT":
        return Refused("CONFLICT", "There is no offer to acknowledge.")
    return draft.record(
        "ACKNOWLEDGED",
        placement,
        replace(placement, status="ACTIVE", deadline=None),
        actor=act.actor,
        metadata={"acknowledgedAt": iso(draft.now)},
    )


def _withdraw(draft: Draft, act: Withdraw) -> Placement | Refused:
    placement = draft.current(act.placement)
    if placement.status == "INACTIVE":
        return Refused("CONFLICT", "This application is not active any more.")
    left = draft.record(
        "WITHDRAWN",
        placement,
        replace(placement, status="INACTIVE", promoted_at=None, deadline=None),
        actor=act.actor,
    )
    draft.fill()
    return left


def _score(draft: Draft, act: Score) -> Placement:
    placement = draft.current(act.placement)
    key = placement.key
    if placement.status == "WAITLIST":
        key = rescored(draft.opening.rules.order, placement, act.score)
    return draft.record(
        "SCORED",
        placement,
        replace(placement, score=act.score, key=key),
        actor=act.actor,
        metadata={"scoringId": act.scoring_id, "score": act.score},
    )


def _change_rules(draft: Draft, act: ChangeRules) -> Opening | Refused:
    opening = draft.opening
    if act.version is not None and act.version != opening.version:
        return Refused("CONFLICT", "The opening was changed in the meantime.")
    if opening.state == "ended":
        return Refused("CONFLICT", "The opening has ended.")
    if act.rules.order != opening.rules.order and draft.tail.waiting:
        return Refused("CONFLICT", "The order cannot change while applicants wait.")
    rules = replace(act.rules, capacity=_next_capacity(draft, act.rules))
    if rules != opening.rules or act.texts:
        draft.record_opening(
            "RULES_CHANGED",
            replace(opening, rules=rules),
            actor=act.actor,
            metadata=rules_to_json(rules),
        )
    draft.fill(most=BATCH)
    return draft.opening


def _next_capacity(draft: Draft, rules: Rules) -> int:
    """Return the capacity that this transaction sets: all of it, or a step that it can fill.

    A step, so that no commit leaves a free place beside an applicant who waits, and no lock is held
    for as long as filling 100 000 places takes.
    """
    opening = draft.opening
    if draft.tail.waiting <= BATCH or not fills(opening.state, rules, draft.now):
        return rules.capacity
    return min(rules.capacity, max(opening.rules.capacity, draft.tail.held + BATCH))


def _change_state(draft: Draft, act: ChangeState) -> Opening | Refused:
    opening = draft.opening
    if opening.state == "ended" and act.change != "end":
        return Refused("CONFLICT", "The opening has ended.")
    metadata: dict[str, Any] = {"reasonDigest": act.reason_digest}
    match act.change:
        case "close" if opening.state == "open":
            changed = replace(opening, state="closed")
            draft.record_opening("CLOSED", changed, actor=act.actor, metadata=metadata)
        case "reopen" if opening.state == "closed":
            rules = replace(opening.rules, closes_at=_still_to_come(draft, opening.rules))
            changed = replace(opening, state="open", rules=rules)
            metadata |= rules_to_json(rules)
            draft.record_opening("REOPENED", changed, actor=act.actor, metadata=metadata)
        case "end" if opening.state != "ended":
            changed = replace(opening, state="ended")
            draft.record_opening("ENDED", changed, actor=act.actor, metadata=metadata)
    return draft.opening


def _still_to_come(draft: Draft, rules: Rules) -> dt.datetime | None:
    """Return ``closesAt`` unless it has passed: an opening that is reopened stays open."""
    closes_at = rules.closes_at
    return closes_at if closes_at is not None and closes_at > draft.now else None


def _is_unfinished(draft: Draft, act: Act, answer: Answer) -> bool:
    """Tell whether an act was done in part, because all of it would hold the lock for too long."""
    if isinstance(answer, Refused):
        return False
    if isinstance(act, ChangeRules):
        raised = draft.opening.rules.capacity != act.rules.capacity
        return raised or bool(draft.free and draft.tail.waiting)
    has_ended = draft.changes and draft.changes[-1].event.type == "ENDED"
    return bool(has_ended)  # next, all who wait go home
