"""The rows of openings: locked by every act, written when a company or time changes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shortlist.domain.hiring.draft import Opening
from shortlist.domain.hiring.opening import Rules, hours_from_json, rules_to_json
from shortlist.domain.hiring.placement import OpeningId
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping

    from asyncpg import Record

    from shortlist.domain.hiring.placement import PlacementId
    from shortlist.storage.postgres import Connection


@dataclass(frozen=True, slots=True)
class Texts:
    """What an opening has besides its rules, and what its audit does not tell."""

    title: str
    description: str | None
    pipeline: str | None
    verify_email: bool


@dataclass(frozen=True, slots=True)
class OpeningRow:
    """An opening as its row has it. Times are aware, in UTC.

    Attributes:
        id: its id.
        opening: rules, state and version, as the rules of hiring know them.
        texts: the rest of what a company sets.
        due_at: when time next changes it, or at once when a change was committed in part.
        created_at: in full milliseconds.
    """

    id: OpeningId
    opening: Opening
    texts: Texts
    due_at: dt.datetime | None
    created_at: dt.datetime


async def lock(
    connection: Connection, ids: Iterable[OpeningId], of_placements: Iterable[PlacementId] = ()
) -> dict[OpeningId, OpeningRow]:
    """Lock some openings, and those of some placements; return them by id, ascending.

    Those that are not there are left out. Waits for the locks of others, as long as the session's
    ``lock_timeout`` lets it.
    """
    rows = await SQL["openings.lock"].fetch(
        connection, ids=list(ids), placement_ids=list(of_placements)
    )
    return {row["id"]: opening_row(row) for row in rows}


async def lock_free(
    connection: Connection, ids: Iterable[OpeningId], of_placements: Iterable[PlacementId] = ()
) -> dict[OpeningId, OpeningRow]:
    """Lock those openings that no other transaction holds; as `lock` otherwise."""
    rows = await SQL["openings.lock_free"].fetch(
        connection, ids=list(ids), placement_ids=list(of_placements)
    )
    return {row["id"]: opening_row(row) for row in rows}


async def new_id(connection: Connection) -> OpeningId:
    """Return the id of an opening that is about to be made."""
    return OpeningId(await SQL["openings.new_id"].fetchval(connection))


async def insert(
    connection: Connection,
    opening_id: OpeningId,
    texts: Texts,
    rules: Rules,
    due_at: dt.datetime | None,
) -> OpeningRow | None:
    """Make an opening; None when an earlier try was committed after all."""
    created_at = await SQL["openings.insert"].fetchval(
        connection, id=opening_id, due_at=due_at, **_columns(texts, rules)
    )
    if created_at is None:
        return None
    return OpeningRow(opening_id, Opening(rules), texts, due_at, created_at)


async def update(connection: Connection, row: OpeningRow) -> None:
    """Write an opening that the transaction has locked."""
    await SQL["openings.update"].execute(
        connection,
        id=row.id,
        state=row.opening.state,
        version=row.opening.version,
        due_at=row.due_at,
        **_columns(row.texts, row.opening.rules),
    )


def with_changes(row: OpeningRow, changes: Mapping[str, Any]) -> tuple[Texts, Rules]:
    """Return an opening's texts and rules with some fields changed, by their names."""
    texts = {name: changes[name] for name in Texts.__slots__ if name in changes}
    rules = {name: changes[name] for name in Rules.__slots__ if name in changes}
    return replace(row.texts, **texts), replace(row.opening.rules, **rules)


def _columns(texts: Texts, rules: Rules) -> dict[str, Any]:
    return {
        "title": texts.title,
        "description": texts.description,
        "pipeline": texts.pipeline,
        "verify_email": texts.verify_email,
        "capacity": rules.capacity,
        "ack_window_seconds": rules.ack_window_seconds,
        "line_order": rules.order,
        "confirm": rules.confirm,
        "fill_from": rules.fill_from,
        "closes_at": rules.closes_at,
        "max_misses": rules.max_misses,
        "answer_hours": rules_to_json(rules)["answerHours"],
    }


def opening_row(row: Record) -> OpeningRow:
    """Read a row that has all columns of ``openings``."""
    return OpeningRow(
        id=OpeningId(row["id"]),
        opening=Opening(_rules(row), row["state"], row["version"]),
        texts=Texts(row["title"], row["description"], row["pipeline"], row["verify_email"]),
        due_at=row["due_at"],
        created_at=row["created_at"],
    )


def _rules(row: Record) -> Rules:
    hours = row["answer_hours"]
    return Rules(
        capacity=row["capacity"],
        ack_window_seconds=row["ack_window_seconds"],
        order=row["line_order"],
        confirm=row["confirm"],
        fill_from=row["fill_from"],
        closes_at=row["closes_at"],
        max_misses=row["max_misses"],
        answer_hours=None if hours is None else hours_from_json(hours),
    )
