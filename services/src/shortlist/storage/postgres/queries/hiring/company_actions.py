"""What companies did by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.hiring.placement import OpeningId
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt

    from shortlist.domain.hiring.audit import Actor
    from shortlist.domain.hiring.company_acts import Action
    from shortlist.storage.postgres import Connection


@dataclass(frozen=True, slots=True)
class ActionRow:
    """An act, and between which events of its opening its own are."""

    id: int
    opening_id: OpeningId
    at: dt.datetime
    first_sequence: int
    last_sequence: int


async def new_id(connection: Connection) -> int:
    """Return the id of an act that is about to be decided."""
    return int(await SQL["hiring_actions.new_id"].fetchval(connection))


async def insert(
    connection: Connection,
    row: ActionRow,
    *,
    action: Action,
    actor: Actor,
    reason: str,
    notify: bool,
) -> None:
    """Note an act. Its reason is a free text, and so not in the audit."""
    await SQL["hiring_actions.insert"].execute(
        connection,
        id=row.id,
        opening_id=row.opening_id,
        at=row.at,
        action=action,
        actor_kind=actor.kind,
        actor=actor.reference,
        reason=reason,
        notify=notify,
        first_sequence=row.first_sequence,
        last_sequence=row.last_sequence,
    )


async def of_id(connection: Connection, action_id: int) -> ActionRow | None:
    """Read an act; None: there is none."""
    row = await SQL["hiring_actions.of_id"].fetchrow(connection, id=action_id)
    if row is None:
        return None
    return ActionRow(
        row["id"],
        OpeningId(row["opening_id"]),
        row["at"],
        row["first_sequence"],
        row["last_sequence"],
    )
