"""Applicants and their applications as they are now, and why an applicant waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shortlist.domain.hiring.reasons import Ahead, why_not_yet
from shortlist.hiring.errors import NotFoundError
from shortlist.hiring.reading.openings import read_positions, read_row
from shortlist.hiring.reading.pages import (
    ID_MAX,
    WHOLE,
    AfterId,
    BeforeEvent,
    Listed,
    cut,
    decode,
    encode,
)
from shortlist.hiring.reading.rows import (
    applicant_of,
    application_of,
    event_of,
    listed_fields,
    reasons_of,
    zone_of,
)
from shortlist.hiring.views import (
    Applicant,
    ApplicantExport,
    ApplicantStatus,
    ApplicationDetail,
    Event,
)
from shortlist.storage.postgres.queries.hiring import codec, line, opening_events
from shortlist.storage.postgres.queries.hiring.reading import audit, jobs, placements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shortlist.storage.postgres import Connection

    Row = Mapping[str, Any]


async def read_row_of(connection: Connection, applicant_id: int) -> Row:
    """Read an applicant's row.

    Raises:
        NotFoundError: there is none with this id, or they were erased.
    """
    row: Row | None = None
    if 0 < applicant_id <= ID_MAX:
        row = await jobs.applicant(connection, applicant_id)
    if row is None:
        raise NotFoundError("applicant")
    return row


async def read_all(
    connection: Connection, limit: int | None, after: str | None
) -> Listed[Applicant]:
    """List applicants, oldest first."""
    size = limit or WHOLE
    begin = decode(after, AfterId) if after else AfterId()
    rows, more = cut(await jobs.applicants(connection, after=begin.id, limit=size + 1), size)
    total = await jobs.count_applicants(connection) if more or after else len(rows)
    return Listed(
        [applicant_of(row) for row in rows],
        total,
        encode(AfterId(rows[-1]["id"])) if more else None,
    )


async def read_status(connection: Connection, applicant_id: int) -> ApplicantStatus:
    """Read an applicant with all their applications, oldest first."""
    applicant = await read_row_of(connection, applicant_id)
    rows = await placements.of_applicant(connection, applicant_id)
    positions = await read_positions(connection, rows)
    now = applicant["now"]
    return ApplicantStatus(
        applicant_id=applicant_id,
        applicant_name=applicant["name"],
        applicant_email=applicant["email"],
        applications=[application_of(row, positions.get(row["id"]), now) for row in rows],
    )


async def read_timeline(
    connection: Connection, applicant_id: int, limit: int | None, after: str | None
) -> Listed[Event]:
    """List the events of all of an applicant's applications: the newest, oldest first."""
    await read_row_of(connection, applicant_id)
    size = limit or WHOLE
    begin = decode(after, BeforeEvent) if after else None
    before = (begin.at, begin.id) if begin else None
    found = await audit.of_applicant_before(connection, applicant_id, before=before, limit=size + 1)
    rows, more = cut(found, size)
    total = await audit.count_of_applicant(connection, applicant_id) if more or after else len(rows)
    return Listed(
        [event_of(row) for row in reversed(rows)],
        total,
        encode(BeforeEvent(rows[-1]["at"], rows[-1]["id"])) if more else None,
    )


async def read_application(connection: Connection, placement_id: int) -> ApplicationDetail:
    """Read one application: how it stands, its score and reasons, why it waits, its events.

    Raises:
        NotFoundError: there is none with this id.
    """
    row: Row | None = None
    if 0 < placement_id <= ID_MAX:
        row = await placements.one(connection, placement_id)
    if row is None:
        raise NotFoundError("application")
    return await _detail(connection, row)


async def _detail(connection: Connection, row: Row) -> ApplicationDetail:
    events = await audit.of_placements(connection, [row["id"]])
    scores = [one for one in await placements.scores(connection, [row["id"]]) if one["status"]]
    ahead: int | None = None
    why: list[str] = []
    if row["status"] == codec.STATUS["WAITLIST"]:
        in_front = await _ahead(connection, row["opening_id"], row["key"])
        ahead = in_front.total
        opening = await read_row(connection, row["opening_id"])
        why = why_not_yet(in_front, map(opening_events.event_of, events), zone_of(opening))
    return ApplicationDetail(
        **listed_fields(row, None if ahead is None else ahead + 1),
        job_id=row["opening_id"],
        job_title=row["title"],
        scoring_id=row["scoring_id"] and str(row["scoring_id"]),
        score_reasons=reasons_of(scores[0]) if scores else None,
        ahead=ahead,
        why=why,
        timeline=[event_of(event) for event in events],
    )


async def _ahead(connection: Connection, opening_id: int, key: bytes) -> Ahead:
    """Count who stands in front of a key, and for which reason.

    The start of a key is a key too: in front of that of its misses are those with fewer, and in
    front of that of its misses and rank those with a better rank as well.
    """
    misses, rank = codec.starts_of(key)
    ahead = await line.positions(connection, [(opening_id, part) for part in (misses, rank, key)])
    fewer, better, total = (position - 1 for position in ahead)
    moved = await placements.moved_ahead(connection, opening_id, key)
    of_fewer = sum(one < misses for one, _ in moved)
    of_better = sum(one < rank for one, _ in moved) - of_fewer
    return Ahead(
        total=total,
        fewer_misses=fewer - of_fewer,
        better_score=better - fewer - of_better,
        moved_at=tuple(at for _, at in moved),
    )


async def read_everything(connection: Connection, applicant_id: int) -> ApplicantExport:
    """Read all that is kept about an applicant."""
    applicant = await read_row_of(connection, applicant_id)
    rows = await placements.of_applicant(connection, applicant_id)
    return ApplicantExport(
        applicant=applicant_of(applicant),
        applications=[await read_application(connection, row["id"]) for row in rows],
    )
