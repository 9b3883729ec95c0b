"""Erases an applicant: all that they have is withdrawn, and what is known of them is removed.

Their placements and events stay, which have no names: so the audit of an opening stays whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.domain.hiring.acts import Withdraw, decide
from shortlist.hiring.errors import ConflictError
from shortlist.hiring.transactions import locking
from shortlist.hiring.transactions.writing import write
from shortlist.storage.postgres.queries.hiring import applicants, placements

if TYPE_CHECKING:
    from shortlist.domain.hiring.acts import Act
    from shortlist.domain.hiring.audit import Actor
    from shortlist.domain.hiring.placement import ApplicantId, OpeningId, PlacementId
    from shortlist.storage.postgres import Connection


class AppliedMeanwhileError(ConflictError):
    """The applicant applied while they were about to be erased: nothing was done, try again."""

    def __init__(self) -> None:
        """Its message needs no more."""
        super().__init__("CONFLICT", "The applicant has just applied; nothing was erased.")


async def erase(connection: Connection, applicant_id: ApplicantId, actor: Actor) -> bool:
    """Erase an applicant in the caller's transaction; false when there is none, or no more.

    Raises `AppliedMeanwhileError` when they have just applied: roll back, and try again.
    """
    return await withdraw_and_erase(connection, applicant_id, actor) is not None


async def withdraw_and_erase(
    connection: Connection, applicant_id: ApplicantId, actor: Actor
) -> dict[OpeningId, int] | None:
    """Do as `erase`; return the newest sequence of each opening that it changed."""
    live = await placements.live_of(connection, applicant_id)
    opening_ids = {opening_id for _, opening_id in live}
    named = [placement_id for placement_id, _ in live]
    newest: dict[OpeningId, int] = {}
    while await _withdraw(connection, opening_ids, named, actor, newest):
        pass  # more was overdue in one of them than one decision may settle
    if not await applicants.lock(connection, applicant_id):
        return None
    if await placements.live_of(connection, applicant_id):
        raise AppliedMeanwhileError
    await applicants.erase(connection, applicant_id)
    return newest


async def _withdraw(
    connection: Connection,
    opening_ids: set[OpeningId],
    named: list[PlacementId],
    actor: Actor,
    newest: dict[OpeningId, int],
) -> bool:
    """Withdraw placements, as far as one decision on each opening goes; whether some are left."""
    state = await locking.lock(connection, opening_ids, named)
    acts: dict[OpeningId, list[Act]] = {}
    for row in list(state.placements.values()):
        if row.placement.status != "INACTIVE":
            acts.setdefault(row.opening_id, []).append(Withdraw(actor, row.placement))
    locked = await locking.read_lines(connection, state, acts)
    decisions = {where: decide(one, acts.get(where, ())) for where, one in locked.items()}
    await write(connection, state, decisions)
    for where, decision in decisions.items():
        if decision.changes:
            newest[where] = decision.changes[-1].event.sequence
    return any(decision.left for decision in decisions.values())
