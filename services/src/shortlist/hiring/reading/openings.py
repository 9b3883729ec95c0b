"""Openings as they are now: what they are, who has places, who waits, and why the line stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shortlist.domain.hiring.reasons import why_the_line_stands
from shortlist.hiring.errors import NotFoundError
from shortlist.hiring.reading.pages import (
    ID_MAX,
    WHOLE,
    AfterFound,
    AfterId,
    HolderPlace,
    InLists,
    LinePlace,
    Listed,
    Page,
    cut,
    decode,
    encode,
)
from shortlist.hiring.reading.rows import (
    entry_of,
    job_fields,
    job_of,
    listed_of,
)
from shortlist.hiring.views import EntryPage, Job, JobDetail, QueueEntry, QueueView, Summary
from shortlist.storage.postgres.queries.hiring import codec, line
from shortlist.storage.postgres.queries.hiring.openings import opening_row
from shortlist.storage.postgres.queries.hiring.reading import heads, jobs, placements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shortlist.domain.hiring.placement import Status
    from shortlist.storage.postgres import Connection

    Row = Mapping[str, Any]


async def read_row(connection: Connection, opening_id: int) -> Row:
    """Read an opening's row with the totals of its newest event.

    Raises:
        NotFoundError: there is none with this id.
    """
    row: Row | None = None
    if 0 < opening_id <= ID_MAX:
        row = await jobs.opening(connection, opening_id)
    if row is None:
        raise NotFoundError("job")
    return row


async def read_all(connection: Connection, limit: int | None, after: str | None) -> Listed[Job]:
    """List openings, oldest first."""
    size = limit or WHOLE
    begin = decode(after, AfterId) if after else AfterId()
    rows, more = cut(await jobs.openings(connection, after=begin.id, limit=size + 1), size)
    total = await jobs.count_openings(connection) if more or after else len(rows)
    return Listed(
        [job_of(row) for row in rows], total, encode(AfterId(rows[-1]["id"])) if more else None
    )


async def read_detail(
    connection: Connection, opening_id: int, limit: int | None, after: str | None
) -> Page[JobDetail]:
    """Read an opening with both lists."""
    row = await read_row(connection, opening_id)
    begin = decode(after, InLists) if after else InLists()
    size = limit or WHOLE
    held, next_holder = await _holders(connection, opening_id, begin.holders, size)
    waiting, next_waiting = await _waiting(connection, opening_id, begin.line, size)
    detail = JobDetail(
        **job_fields(row),
        active_applicants=[entry_of(one, None) for one in held],
        waitlist_applicants=[entry_of(one, position) for position, one in waiting],
    )
    return Page(detail, _next(next_holder, next_waiting))


def _next(holders: HolderPlace | None, place: LinePlace | None) -> str | None:
    return encode(InLists(holders, place)) if holders or place else None


async def _holders(
    connection: Connection, opening_id: int, begin: HolderPlace | None, size: int
) -> tuple[list[Row], HolderPlace | None]:
    """Read the next who hold places, and where the list goes on."""
    if begin is None:
        return [], None
    found = await placements.holders(
        connection, opening_id, since=begin.since, applied=begin.applied, limit=size + 1
    )
    rows, more = cut(found, size)
    if not more:
        return rows, None
    return rows, HolderPlace(rows[-1]["held_since"], rows[-1]["applied_sequence"])


async def _waiting(
    connection: Connection, opening_id: int, begin: LinePlace | None, size: int
) -> tuple[list[tuple[int, Row]], LinePlace | None]:
    """Read the next who wait with their positions, and where the list goes on."""
    if begin is None:
        return [], None
    found = await placements.waiting(connection, opening_id, after=begin.key, limit=size + 1)
    rows, more = cut(found, size)
    first = 1
    if begin.key and rows:  # the line may have moved since the page before
        (first,) = await line.positions(connection, [(opening_id, rows[0]["key"])])
    last = first + len(rows) - 1
    place = LinePlace(rows[-1]["key"], last) if more else None
    return list(enumerate(rows, start=first)), place


async def read_queue(
    connection: Connection, opening_id: int, limit: int | None, after: str | None
) -> Page[QueueView]:
    """Read an opening's line."""
    row = await read_row(connection, opening_id)
    begin = decode(after, InLists) if after else InLists()
    waiting, place = await _waiting(connection, opening_id, begin.line, limit or WHOLE)
    view = QueueView(
        job_id=opening_id,
        job_title=row["title"],
        capacity=row["capacity"],
        active_count=row["held"],
        waitlist_entries=[_queued(one, position) for position, one in waiting],
    )
    return Page(view, _next(None, place))


def _queued(row: Row, position: int) -> QueueEntry:
    entry = entry_of(row, position)
    return QueueEntry(
        application_id=entry.application_id,
        applicant_id=entry.applicant_id,
        applicant_name=entry.applicant_name,
        position=position,
        applied_at=entry.applied_at,
        penalty_count=row["misses"],
    )


async def read_summary(connection: Connection, opening_id: int) -> Summary:
    """Read an opening in numbers: the sums of its newest head, and of the events since."""
    row = await read_row(connection, opening_id)
    upto = row["sequence"]
    head = await heads.newest(connection, opening_id, upto)
    since = await heads.sums(connection, opening_id, after=head.sequence, upto=upto)
    sums = head.sums.plus(since)
    return Summary(
        job_id=opening_id,
        job_title=row["title"],
        capacity=row["capacity"],
        active_count=row["held"],
        waitlist_count=row["waiting"],
        inactive_count=sums.applied - row["held"] - row["waiting"],
        total_applications=sums.applied,
        avg_time_to_promotion_seconds=_average(sums.promoted_seconds, sums.promoted),
        avg_acknowledgment_time_seconds=_average(sums.acknowledged_seconds, sums.acknowledged),
        decay_events=sums.missed,
    )


def _average(seconds: float, number: int) -> float | None:
    return round(seconds / number, 3) if number else None


async def read_why(connection: Connection, row: Row) -> list[str]:
    """Tell why no applicant of an opening is promoted at the moment; nothing when they are."""
    return why_the_line_stands(
        row["state"],
        opening_row(row).opening.rules,
        held=row["held"],
        waiting=row["waiting"],
        offers=await placements.offers(connection, row["id"]),
        now=row["now"],
    )


async def read_entries(
    connection: Connection,
    opening_id: int,
    *,
    statuses: Sequence[Status] | None,
    search: str | None,
    min_score: float | None,
    sort: placements.Sort,
    limit: int | None,
    after: str | None,
) -> EntryPage:
    """Read a page of a company's list."""
    opening = await read_row(connection, opening_id)
    size = limit or WHOLE
    which = placements.Filter(
        statuses=None if statuses is None else [codec.STATUS[s].decode() for s in statuses],
        words=search or None,
        minimum=min_score,
        sort=sort,
    )
    begin = _after_found(after, sort)
    found, total = await placements.found(
        connection, opening_id, which, after=begin, limit=size + 1
    )
    rows, more = cut(found, size)
    positions = await read_positions(connection, rows)
    last = rows[-1] if more else None
    return EntryPage(
        entries=[listed_of(row, positions.get(row["id"])) for row in rows],
        total=total,
        next=last and encode(AfterFound(sort, last["rank"], last["text"], last["id"])),
        why=await read_why(connection, opening),
    )


def _after_found(after: str | None, sort: str) -> tuple[float, bytes, int] | None:
    """Return behind which row a page begins.

    Raises:
        InvalidError: the cursor is none, or is of another order.
    """
    if not after:
        return None
    cursor = decode(after, AfterFound)
    if cursor.sort != sort:
        decode("", AfterFound)
    return cursor.rank, cursor.text, cursor.id


async def read_positions(connection: Connection, rows: Sequence[Row]) -> dict[int, int]:
    """Return the positions of those of some placements that wait, by their ids."""
    waiting = [row for row in rows if row["status"] == codec.STATUS["WAITLIST"]]
    found = await line.positions(connection, [(row["opening_id"], row["key"]) for row in waiting])
    return {row["id"]: position for row, position in zip(waiting, found, strict=True)}
