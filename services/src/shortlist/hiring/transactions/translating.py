"""Makes what is asked an act of the rules of hiring, on an opening that is locked."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from shortlist.domain.hiring.acts import Acknowledge, Apply, ChangeRules, ChangeState, Withdraw
from shortlist.domain.hiring.audit import reason_digest
from shortlist.domain.hiring.opening import InvalidRulesError, check_rules, in_milliseconds
from shortlist.hiring.errors import InvalidError, NotFoundError
from shortlist.hiring.transactions.asked import (
    Acknowledging,
    Applying,
    Changing,
    ChangingState,
    Withdrawing,
)
from shortlist.storage.postgres.queries.hiring import openings
from shortlist.storage.postgres.queries.hiring.applicants import Person

if TYPE_CHECKING:
    from shortlist.domain.hiring.acts import Act
    from shortlist.domain.hiring.placement import ApplicantId, OpeningId, Placement, PlacementId
    from shortlist.hiring.transactions.asked import Ask
    from shortlist.hiring.transactions.locking import LockedState
    from shortlist.storage.postgres.queries.hiring.applicants import Live
    from shortlist.storage.postgres.queries.hiring.openings import OpeningRow


def act_of(state: LockedState, ask: Ask) -> tuple[OpeningId, Act]:
    """Return the act that an ask becomes, and its opening.

    Raises:
        NotFoundError: the applicant, the opening or the application is not there; in this order.
        InvalidError: the opening cannot have these rules.
    """
    match ask:
        case Applying():
            applicant_id, live = _who(state, ask)
            locked_opening(state, ask.opening_id)
            placement_id = state.ends[ask.opening_id].placement_ids.pop(0)
            return ask.opening_id, Apply(ask.by.actor, applicant_id, placement_id, live)
        case Withdrawing():
            opening_id, placement = _placement(state, ask.placement_id)
            return opening_id, Withdraw(ask.by.actor, placement)
        case Acknowledging():
            opening_id, placement = _placement(state, ask.placement_id)
            return opening_id, Acknowledge(ask.by.actor, placement)
        case Changing():
            return ask.opening_id, _change(locked_opening(state, ask.opening_id), ask)
        case ChangingState():
            locked_opening(state, ask.opening_id)
            digest = None if ask.reason is None else reason_digest(ask.reason)
            return ask.opening_id, ChangeState(ask.by.actor, ask.change, digest)
        case _:
            assert_never(ask)


def locked_opening(state: LockedState, opening_id: OpeningId) -> OpeningRow:
    """Return an opening that was to be locked; raises `NotFoundError`."""
    row = state.openings.get(opening_id)
    if row is None:
        raise NotFoundError("job")
    return row


def _who(state: LockedState, ask: Applying) -> tuple[ApplicantId, Live]:
    if isinstance(ask.who, Person):
        found = state.people.get((ask.who.key, ask.opening_id))
        if found is None:  # only those who apply to an opening that is there are found or made
            raise NotFoundError("job")
        return found.id, found.live
    if (ask.who, ask.opening_id) not in state.applicants:
        raise NotFoundError("applicant")
    return ask.who, state.applicants[ask.who, ask.opening_id]


def _placement(state: LockedState, placement_id: PlacementId) -> tuple[OpeningId, Placement]:
    row = state.placements.get(placement_id)
    if row is None:
        raise NotFoundError("application")
    return row.opening_id, row.placement


def _change(row: OpeningRow, ask: Changing) -> ChangeRules:
    texts, changed = openings.with_changes(row, ask.changes)
    rules = in_milliseconds(changed)
    try:
        check_rules(rules)
    except InvalidRulesError as error:
        raise InvalidError(error.problems) from error
    return ChangeRules(ask.by.actor, rules, ask.version, texts=texts != row.texts)
