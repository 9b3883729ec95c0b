"""A company's act on placements, and the undoing of one: a transaction of its own.

What is overdue is settled and written first, in the same transaction: so a move finds its
neighbours as they stand then. A dry run is the same, and is rolled back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.domain.hiring.acts import decide
from shortlist.domain.hiring.audit import SYSTEM, next_time, reason_digest
from shortlist.domain.hiring.company_acts import UNDO_WINDOW, CompanyAct, Undo
from shortlist.domain.hiring.draft import Refused
from shortlist.hiring.errors import HiringError, NotFoundError
from shortlist.hiring.transactions import answering, locking
from shortlist.hiring.transactions.asked import ActingByHand, Undoing
from shortlist.hiring.transactions.group import Outcome, was_committed
from shortlist.hiring.transactions.idempotency import IdempotencyKeys
from shortlist.hiring.transactions.translating import locked_opening
from shortlist.hiring.transactions.writing import write
from shortlist.hiring.views import ActionOutcome, ActionResult
from shortlist.storage.postgres.queries.hiring import company_actions, opening_events, placements
from shortlist.storage.postgres.queries.hiring.company_actions import ActionRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shortlist.domain.hiring.acts import Decision
    from shortlist.domain.hiring.company_acts import Outcome as Done
    from shortlist.domain.hiring.placement import OpeningId, Placement, PlacementId
    from shortlist.hiring.transactions.asked import Answer, ByHand
    from shortlist.hiring.transactions.locking import LockedState
    from shortlist.storage.postgres import Connection


async def run(
    connection: Connection,
    asks: Mapping[int, ByHand],
    earlier: Outcome | None = None,
    *,
    waits: bool = True,
) -> Outcome:
    """Lock, settle, decide and write; arguments and result as `group.run` has them.

    ``asks``: one, by its place in the group.
    """
    ((place, ask),) = asks.items()
    keys = IdempotencyKeys(asks)
    state = await locking.lock(connection, [ask.opening_id], _named(ask), waits=waits)
    if not waits and not state.openings:
        return Outcome(state.locked_at, held={place})
    if earlier is not None and await was_committed(connection, earlier.newest):
        return earlier
    outcome = Outcome(state.locked_at, await keys.take(connection))
    if not outcome.answers:
        try:
            answer = await _act(connection, state, ask, outcome)
        except HiringError as refusal:
            answer = refusal
        if answer is None:
            outcome.left = {place: ask}
        else:
            outcome.answers[place] = answer
    await keys.keep(connection, outcome.answers)
    return outcome


def _named(ask: ByHand) -> tuple[PlacementId, ...]:
    return ask.request.application_ids if isinstance(ask, ActingByHand) else ()


async def _act(
    connection: Connection, state: LockedState, ask: ByHand, outcome: Outcome
) -> Answer | None:
    """Settle, then do the act; None when there is more overdue than one transaction may settle."""
    where = ask.opening_id
    locked_opening(state, where)
    settled = await _decide(connection, state, where, None, outcome)
    if settled.again:
        return None
    if settled.changes:
        state = await locking.lock(connection, [where], _named(ask))
    act, action_id = await _translate(connection, state, ask)
    decision = await _decide(connection, state, where, act, outcome)
    match decision.answers:
        case (Refused() as refused,):
            return answering.refusal(refused)
        case (tuple() as done,):
            if isinstance(ask, ActingByHand):
                await _note(connection, ask, action_id, decision, state)
            return await _told(connection, ask, action_id, state, decision, done)
        case _:
            return None  # more has become overdue just now


async def _decide(
    connection: Connection,
    state: LockedState,
    where: OpeningId,
    act: CompanyAct | Undo | None,
    outcome: Outcome,
) -> Decision:
    """Settle an opening, do the act, if there is one, and write both."""
    acts = [] if act is None else [act]
    locked = await locking.read_lines(connection, state, {where: acts})
    decision = decide(locked[where], acts)
    await write(connection, state, {where: decision})
    if decision.changes:
        outcome.newest[where] = decision.changes[-1].event
    return decision


async def _translate(
    connection: Connection, state: LockedState, ask: ByHand
) -> tuple[CompanyAct | Undo, int]:
    """Return the act, and the id of the company's action."""
    if isinstance(ask, Undoing):
        return await _undo(connection, state, ask), ask.action.id
    request, opening_id = ask.request, ask.opening_id
    targets = tuple(_target(state, opening_id, id_) for id_ in request.application_ids)
    elsewhere: frozenset[PlacementId] = frozenset()
    previous = following = None
    if request.action == "reinstate":
        elsewhere = await placements.live_elsewhere(connection, request.application_ids)
    elif request.action == "move":
        previous, following = await placements.neighbours(
            connection,
            opening_id,
            position=request.position or 1,
            skipped=request.application_ids,
            floor=state.ends[opening_id].first_floor,
        )
    action_id = await company_actions.new_id(connection)
    act = CompanyAct(
        ask.by.actor,
        str(action_id),
        request.action,
        targets,
        reason_digest(request.reason),
        elsewhere,
        previous,
        following,
    )
    return act, action_id


def _target(state: LockedState, opening_id: OpeningId, placement_id: PlacementId) -> Placement:
    row = state.placements.get(placement_id)
    if row is None or row.opening_id != opening_id:
        raise NotFoundError("application")
    return row.placement


async def _undo(connection: Connection, state: LockedState, ask: Undoing) -> Undo:
    """Return the act that takes the action's own events back; what it led to stays."""
    action = ask.action
    told = await opening_events.between(
        connection, action.opening_id, action.first_sequence, action.last_sequence
    )
    own = [e for e in told if e.metadata.get("actionId") == str(action.id)]
    ids = [e.placement_id for e in own if e.placement_id is not None]
    rows = await placements.by_id(connection, ids)
    state.placements |= rows
    elsewhere = await placements.live_elsewhere(connection, ids)
    targets = tuple(rows[id_].placement for id_ in ids)
    return Undo(ask.by.actor, str(action.id), targets, tuple(own), elsewhere)


async def _note(
    connection: Connection,
    ask: ActingByHand,
    action_id: int,
    decision: Decision,
    state: LockedState,
) -> None:
    """Note the act with its reason, which is in no event."""
    end = state.ends[ask.opening_id]
    before = end.tail.sequence
    row = ActionRow(
        action_id,
        ask.opening_id,
        next_time(end.clock, end.tail.at),
        before + 1,
        before + len(decision.changes),
    )
    await company_actions.insert(
        connection,
        row,
        action=ask.request.action,
        actor=ask.by.actor,
        reason=ask.request.reason,
        notify=ask.request.notify,
    )


async def _told(
    connection: Connection,
    ask: ByHand,
    action_id: int,
    state: LockedState,
    decision: Decision,
    done: Sequence[Done],
) -> ActionResult:
    """Say what became of each placement, and who was promoted because of it."""
    positions = await answering.positions(
        connection, [(ask.opening_id, one.placement) for one in done]
    )
    is_dry = isinstance(ask, ActingByHand) and ask.request.dry_run
    end = state.ends[ask.opening_id]
    until = next_time(end.clock, end.tail.at) + UNDO_WINDOW
    return ActionResult(
        action_id=None if is_dry else action_id,
        undo_until=None if is_dry or isinstance(ask, Undoing) else until,
        results=[
            ActionOutcome(
                application_id=one.placement.id,
                outcome=one.result,
                status=one.placement.status,
                queue_position=positions.get(one.placement.id),
            )
            for one in done
        ],
        promoted=[
            ActionOutcome(
                application_id=change.after.id,
                outcome="promoted",
                status=change.after.status,
                queue_position=None,
            )
            for change in decision.changes
            if change.after and change.event.type == "PROMOTED" and change.event.actor == SYSTEM
        ],
    )
