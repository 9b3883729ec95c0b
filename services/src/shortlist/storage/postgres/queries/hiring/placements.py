"""Placements, as acts read them under the opening's lock, and write them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from shortlist.domain.hiring.placement import ApplicantId, OpeningId, Placement, PlacementId
from shortlist.storage.postgres.queries.hiring import codec
from shortlist.storage.postgres.queries.hiring.codec import decode_key, encode_key
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from uuid import UUID

    from asyncpg import Record

    from shortlist.domain.hiring.ordering import LineKey
    from shortlist.domain.hiring.placement import PlacementEvent
    from shortlist.storage.postgres import Connection


@dataclass(frozen=True, slots=True)
class PlacementRow:
    """A placement as its row has it.

    ``stands_from``: the sequence of the event since which its status and key are these.
    """

    opening_id: OpeningId
    placement: Placement
    stands_from: int


@dataclass(frozen=True, slots=True)
class Span:
    """Where a placement stood: from the event ``since`` on, no more at the event ``until``."""

    opening_id: OpeningId
    placement: Placement
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class HeadOf:
    """What is to be read of a line: its first ``count``, none of which is in front of a key."""

    opening_id: OpeningId
    floor: bytes
    count: int


async def by_id(
    connection: Connection, ids: Collection[PlacementId]
) -> dict[PlacementId, PlacementRow]:
    """Read some placements; those that are not there are left out."""
    rows = await SQL["placements.by_id"].fetch(connection, ids=list(ids))
    return {row["id"]: placement_row(row) for row in rows}


async def ended_offers(
    connection: Connection,
    openings: Sequence[tuple[OpeningId, dt.datetime | None, dt.datetime | None]],
    limit: int,
) -> list[PlacementRow]:
    """Read offers that ended, earliest first within each opening.

    Args:
        connection: whose transaction has the openings locked.
        openings: each with the first deadline that counts and the first that does not, if any.
        limit: the most of each.
    """
    rows = await SQL["placements.ended_offers"].fetch(
        connection,
        openings=[opening_id for opening_id, _, _ in openings],
        since=[since for _, since, _ in openings],
        before=[before for _, _, before in openings],
        limit=limit,
    )
    return [placement_row(row) for row in rows]


async def heads(connection: Connection, lines: Sequence[HeadOf]) -> list[PlacementRow]:
    """Read the first in some lines, in order within each opening."""
    rows = await SQL["placements.head"].fetch(
        connection,
        openings=[line.opening_id for line in lines],
        floors=[line.floor for line in lines],
        counts=[line.count for line in lines],
    )
    return [placement_row(row) for row in rows]


async def live_elsewhere(
    connection: Connection, ids: Collection[PlacementId]
) -> frozenset[PlacementId]:
    """Return which of some placements' applicants have another live one in the same opening."""
    rows = await SQL["placements.live_elsewhere"].fetch(connection, ids=list(ids))
    return frozenset(row["id"] for row in rows)


async def live_of(
    connection: Connection, applicant_id: ApplicantId
) -> list[tuple[PlacementId, OpeningId]]:
    """Return an applicant's live placements, each with its opening."""
    rows = await SQL["placements.live_openings"].fetch(connection, applicant_id=applicant_id)
    return [(row["id"], row["opening_id"]) for row in rows]


async def neighbours(
    connection: Connection,
    opening_id: OpeningId,
    *,
    position: int,
    skipped: Collection[PlacementId],
    floor: bytes,
) -> tuple[LineKey | None, LineKey | None]:
    """Return the keys in front of and behind a position of a line; None: there is none.

    Args:
        connection: whose transaction has the opening locked.
        opening_id: whose line it is.
        position: from 1; beyond the end is the end.
        skipped: placements that are not counted.
        floor: in front of which none waits.
    """
    rows = await SQL["placements.around"].fetch(
        connection,
        opening_id=opening_id,
        floor=floor,
        skipped=list(skipped),
        ahead=position - 1,
    )
    keys = [decode_key(row["key"]) for row in rows]
    if position == 1:
        return None, keys[0] if keys else None
    if keys:
        return keys[0], keys[1] if len(keys) > 1 else None
    last = await SQL["placements.last"].fetchval(
        connection, opening_id=opening_id, skipped=list(skipped)
    )
    return None if last is None else decode_key(last), None


async def insert(
    connection: Connection,
    rows: Sequence[PlacementRow],
    scoring_ids: Mapping[PlacementId, UUID],
) -> None:
    """Insert new placements in one statement; ``scoring_ids`` of those that are scored."""
    placements = [row.placement for row in rows]
    await SQL["placements.insert"].execute(
        connection,
        opening_ids=[row.opening_id for row in rows],
        applicant_ids=[p.applicant_id for p in placements],
        applied_sequences=[p.applied_sequence for p in placements],
        applied_ats=[p.applied_at for p in placements],
        scoring_ids=[scoring_ids.get(p.id) for p in placements],
        **_changing_columns(rows),
    )


async def update(connection: Connection, rows: Sequence[PlacementRow]) -> None:
    """Write changed placements in one statement."""
    await SQL["placements.update"].execute(connection, **_changing_columns(rows))


async def end_standings(connection: Connection, spans: Iterable[Span]) -> None:
    """Note where placements stood until now, in one statement."""
    spans = list(spans)
    placements = [span.placement for span in spans]
    await SQL["placements.end_standings"].execute(
        connection,
        opening_ids=[span.opening_id for span in spans],
        placement_ids=[p.id for p in placements],
        statuses=[codec.STATUS[p.status] for p in placements],
        keys=[encode_key(p.key) for p in placements],
        sinces=[_since(p) for p in placements],
        from_sequences=[span.since for span in spans],
        to_sequences=[span.until for span in spans],
    )


def _since(placement: Placement) -> dt.datetime:
    """Return since when it stood so: a place is held since it was got, not acknowledged."""
    if placement.holds_a_place:
        return placement.promoted_at or placement.since
    return placement.since


def _changing_columns(rows: Sequence[PlacementRow]) -> dict[str, Any]:
    placements = [row.placement for row in rows]
    return {
        "ids": [p.id for p in placements],
        "statuses": [codec.STATUS[p.status] for p in placements],
        "keys": [encode_key(p.key) for p in placements],
        "sinces": [p.since for p in placements],
        "last_events": [codec.EVENT[p.last_event] for p in placements],
        "last_sequences": [p.last_sequence for p in placements],
        "stands_from": [row.stands_from for row in rows],
        "misses": [p.misses for p in placements],
        "scores": [p.score for p in placements],
        "moved": [p.moved for p in placements],
        "promoted_ats": [p.promoted_at for p in placements],
        "deadlines": [p.deadline for p in placements],
    }


def placement_row(row: Record) -> PlacementRow:
    """Read a row that has all columns of ``placements``."""
    return PlacementRow(
        OpeningId(row["opening_id"]),
        Placement(
            id=PlacementId(row["id"]),
            applicant_id=ApplicantId(row["applicant_id"]),
            status=codec.STATUS_OF[row["status"]],
            key=decode_key(row["key"]),
            applied_sequence=row["applied_sequence"],
            applied_at=row["applied_at"],
            since=row["since"],
            last_event=cast("PlacementEvent", codec.EVENT_OF[row["last_event"]]),
            last_sequence=row["last_sequence"],
            misses=row["misses"],
            score=row["score"],
            moved=row["moved"],
            promoted_at=row["promoted_at"],
            deadline=row["deadline"],
        ),
        row["stands_from"],
    )
