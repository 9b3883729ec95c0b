"""What hiring answers without changing anything: `Views`.

Each answer is of one moment: its statements see one snapshot, or what they read never changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from shortlist.hiring.errors import BusyError, HiringError
from shortlist.hiring.reading import applicants, exports, openings, replays, verification
from shortlist.hiring.reading.exports import What
from shortlist.hiring.reading.pages import ID_MAX, WHOLE, Listed, Page
from shortlist.hiring.reading.rows import applicant_of, job_of, sequenced_of
from shortlist.storage.postgres.queries.hiring.reading import audit
from shortlist.storage.postgres.queries.hiring.reading.placements import Sort

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from shortlist.domain.hiring.placement import Status
    from shortlist.hiring.views import (
        Applicant,
        ApplicantExport,
        ApplicantStatus,
        ApplicationDetail,
        AuditEvent,
        EntryPage,
        Event,
        Job,
        JobDetail,
        ListedEntry,
        QueueView,
        ReplayView,
        SequencedEvent,
        Summary,
        Verification,
    )
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.database import Database

__all__ = ["WHOLE", "Listed", "Page", "Sort", "Views", "What"]

T = TypeVar("T")


class Views:
    """Hiring's reads. ``limit``: of each list, `WHOLE` without it; ``after``: an answer's ``next``.

    Each raises `NotFoundError` for what is not there, `InvalidError` for an ``after`` that is no
    cursor of that list, and `DatabaseUnavailableError` when Postgres does not answer in time.
    """

    def __init__(self, database: Database) -> None:
        """``database``: whose time-out each answer has."""
        self._database = database
        self._is_verifying = False

    async def jobs(self, limit: int | None = None, after: str | None = None) -> Listed[Job]:
        """List openings, oldest first."""
        return await self._look(lambda c: openings.read_all(c, limit, after))

    async def opening(self, opening_id: int) -> Job:
        """Read an opening without its lists."""
        return job_of(await self._look(lambda c: openings.read_row(c, opening_id)))

    async def job(
        self, opening_id: int, limit: int | None = None, after: str | None = None
    ) -> Page[JobDetail]:
        """Read an opening with who has places and who waits."""
        return await self._look(lambda c: openings.read_detail(c, opening_id, limit, after))

    async def queue(
        self, opening_id: int, limit: int | None = None, after: str | None = None
    ) -> Page[QueueView]:
        """Read an opening's line."""
        return await self._look(lambda c: openings.read_queue(c, opening_id, limit, after))

    async def summary(self, opening_id: int) -> Summary:
        """Read an opening in numbers."""
        return await self._look(lambda c: openings.read_summary(c, opening_id))

    async def why(self, opening_id: int) -> list[str]:
        """Tell a company why no applicant is promoted now; nothing when the line moves."""

        async def read(connection: Connection) -> list[str]:
            row = await openings.read_row(connection, opening_id)
            return await openings.read_why(connection, row)

        return await self._look(read)

    async def entries(
        self,
        opening_id: int,
        *,
        statuses: Sequence[Status] | None = None,
        search: str | None = None,
        min_score: float | None = None,
        sort: Sort = "position",
        limit: int | None = None,
        after: str | None = None,
    ) -> EntryPage:
        """Read a page of a company's list.

        Args:
            opening_id: whose placements.
            statuses: only these; None: all.
            search: a part of a name or of an address, in any case.
            min_score: only those who are scored, and not below it.
            sort: see `Sort`.
            limit: rows of a page.
            after: the page before's ``next``, with the same filter and order.
        """
        return await self._look(
            lambda c: openings.read_entries(
                c,
                opening_id,
                statuses=statuses,
                search=search,
                min_score=min_score,
                sort=sort,
                limit=limit,
                after=after,
            )
        )

    async def applicants(
        self, limit: int | None = None, after: str | None = None
    ) -> Listed[Applicant]:
        """List applicants, oldest first."""
        return await self._look(lambda c: applicants.read_all(c, limit, after))

    async def applicant(self, applicant_id: int) -> Applicant:
        """Read one applicant."""
        return applicant_of(await self._look(lambda c: applicants.read_row_of(c, applicant_id)))

    async def status(self, applicant_id: int) -> ApplicantStatus:
        """Read an applicant with all their applications."""
        return await self._look(lambda c: applicants.read_status(c, applicant_id))

    async def timeline(
        self, applicant_id: int, limit: int | None = None, after: str | None = None
    ) -> Listed[Event]:
        """List the events of all of an applicant's applications; a part holds the newest."""
        return await self._look(lambda c: applicants.read_timeline(c, applicant_id, limit, after))

    async def application(self, application_id: int) -> ApplicationDetail:
        """Read one application with its past, and why it waits."""
        return await self._look(lambda c: applicants.read_application(c, application_id))

    async def everything_about(self, applicant_id: int) -> ApplicantExport:
        """Read all that is kept about an applicant."""
        return await self._look(lambda c: applicants.read_everything(c, applicant_id))

    async def replay(
        self,
        opening_id: int,
        *,
        as_of: dt.datetime | None = None,
        sequence: int | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[ReplayView]:
        """Read how an opening stood at a time or after an event; with neither, now.

        Args:
            opening_id: whose past.
            as_of: aware; events in the same millisecond have happened.
            sequence: the last event that has happened; goes before ``as_of``.
            limit: of each list; of events the newest.
            after: the part before's ``next``: the same moment goes on.
        """
        when = replays.When(as_of, sequence)
        return await self._ask(lambda c: replays.read_replay(c, opening_id, when, limit, after))

    async def events(
        self,
        *,
        opening_id: int | None = None,
        applicant_id: int | None = None,
        after: int = 0,
        limit: int = 1_000,
    ) -> list[SequencedEvent]:
        """List the next events of an opening or of an applicant, oldest first.

        Args:
            opening_id: whose events, the opening's own too; none if there is no such opening.
            applicant_id: or whose, over all their applications.
            after: behind this sequence of the opening; or behind this event's id.
            limit: at most so many.
        """
        if opening_id is not None:
            rows = await self._ask(
                lambda c: audit.after(c, opening_id, after=after, upto=ID_MAX, limit=limit)
            )
        else:
            assert applicant_id is not None, "whose events?"
            rows = await self._ask(
                lambda c: audit.of_applicant_after(c, applicant_id, after=after, limit=limit)
            )
        return [sequenced_of(row) for row in rows]

    async def verify(self, opening_id: int) -> Verification:
        """Verify an opening's audit, and what is derived; a million events take a minute.

        Raises `BusyError` while another is verified: each takes as much of the process as it gets.
        """
        if self._is_verifying:
            raise BusyError
        self._is_verifying = True
        try:
            return await verification.verify_opening(self._look, opening_id)
        finally:
            self._is_verifying = False

    async def export(self, opening_id: int, what: What) -> AsyncIterator[list[ListedEntry]]:
        """Return the rows of one of an opening's lists, in parts."""
        return await exports.export_list(self._look, opening_id, what)

    async def export_events(self, opening_id: int) -> AsyncIterator[list[AuditEvent]]:
        """Return an opening's audit in parts: what verifies alone."""
        return await exports.export_events(self._look, opening_id)

    async def _look(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do some reading, all of one moment."""

        async def at_one_moment(connection: Connection) -> Any:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await work(connection)

        return await self._ask(at_one_moment)

    async def _ask(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do some reading; a refusal is no fault of the connection, which is used again."""

        async def refused_or_read(connection: Connection) -> tuple[HiringError | None, Any]:
            try:
                return None, await work(connection)
            except HiringError as refusal:
                return refusal, None

        refusal, found = await self._database.read(refused_or_read)
        if refusal is not None:
            raise refusal
        read: T = found
        return read
