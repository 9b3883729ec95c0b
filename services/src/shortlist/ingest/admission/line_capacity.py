"""How full one line is, known well enough to refuse without asking a server.

What Redis reported last, plus what entered here since: so a burst between two reports cannot
overshoot. While Redis is away, and until the sweep has put on the line what it missed, Postgres
counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from shortlist.domain.errors import ShortlistError
from shortlist.ingest.admission.quota import Quota

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from shortlist.domain.line.application import ApplicationId, PipelineName

_SWEPT_SECONDS = 10.0
"""After Redis is back, the sweep (every 2 s) has put what Redis never knew on the line by then."""

_RETRY_AFTER_SECONDS = 1.0
"""Workers take from a full line many times a second."""


class LineFullError(ShortlistError):
    """The line is full."""

    retry_after_seconds = _RETRY_AFTER_SECONDS

    def __init__(self) -> None:
        """Its message is what this class says of itself."""
        super().__init__(type(self).__doc__)


class Place:
    """One application's place in a line: a ``with`` block gives it back, unless it was kept."""

    __slots__ = ("_application_id", "_is_kept", "_taken")

    def __init__(self, taken: dict[ApplicationId, None], application_id: ApplicationId) -> None:
        """Take it: ``taken`` are the places of a line."""
        taken[application_id] = None
        self._taken = taken
        self._application_id = application_id
        self._is_kept = False

    def keep(self) -> None:
        """Leave the place taken after the block: until `leave`, or until it is published."""
        self._is_kept = True

    def leave(self) -> None:
        """Give the place back: the application was not accepted as new."""
        self._taken.pop(self._application_id, None)

    def __enter__(self) -> Self:
        """Return itself; the place is taken already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the place back, unless it was kept."""
        if not self._is_kept:
            self.leave()


class LineCapacity:
    """How many applications of one pipeline are accepted and unfinished, and how many may be.

    An estimate that never forgets what this process did itself. Requests take places; what the
    servers report comes from the registry alone. Times are monotonic seconds.
    """

    def __init__(self, pipeline: PipelineName, limit: int) -> None:
        """``limit``: with so many, the line is full."""
        self.pipeline = pipeline
        self.limit = limit
        self.reports = 0
        """How often Redis reported: an answer asked for before the last one is stale."""
        self._reported = 0  # by Redis
        self._counted = 0  # by Postgres, in place of Redis
        # Not yet in what was reported or counted, oldest first (ids are times):
        self._taken: dict[ApplicationId, None] = {}  # being committed, or published
        self._unpublished: dict[ApplicationId, None] = {}  # accepted, and the sweep will publish
        self._trusted_at = 0.0

    @property
    def depth(self) -> int:
        """Estimate how many are accepted and unfinished."""
        known = max(self._reported, self._counted)
        return known + len(self._taken) + len(self._unpublished)

    @property
    def is_full(self) -> bool:
        """Whether there is no place left."""
        return self.depth >= self.limit

    def place(self, application_id: ApplicationId) -> Place:
        """Take a place; raises `LineFullError` when there is none."""
        if self.is_full:
            raise LineFullError
        return Place(self._taken, application_id)

    def quota(self) -> Quota:
        """Return the line's room as a quota."""
        return Quota(self.limit, self.limit - self.depth, _RETRY_AFTER_SECONDS)

    def record_published(self, ids: Iterable[ApplicationId], depth: int, now: float) -> None:
        """Count some that had places as published: the line is ``depth`` long with them."""
        for application_id in ids:
            self._taken.pop(application_id, None)
            self._counted += 1
        self.record_depth(depth, now)

    def record_unpublished(self, ids: Iterable[ApplicationId], now: float) -> None:
        """Count applications as accepted but not published; the sweep will find them."""
        for application_id in ids:
            self._taken.pop(application_id, None)
            self._unpublished[application_id] = None
        self.distrust(now)

    def record_depth(self, depth: int, now: float) -> None:
        """Take over the depth that Redis has reported."""
        self.reports += 1
        self._reported = depth
        if self.trusts(now):
            self._counted = 0
            self._unpublished.clear()

    def record_count(self, unfinished: int, before: UUID) -> None:
        """Take over Postgres's count of unfinished applications with an id below ``before``."""
        self._counted = unfinished
        self._unpublished = {i: None for i in self._unpublished if i >= before}

    def oldest_taken(self) -> ApplicationId | None:
        """Return the oldest that has a place; ours below it are unpublished or settled."""
        return next(iter(self._taken), None)

    def distrust(self, now: float) -> None:
        """Take Redis's depth for too low, until the sweep has published the rest."""
        self._trusted_at = now + _SWEPT_SECONDS

    def trusts(self, now: float) -> bool:
        """Tell whether Redis's depth counts all that is accepted."""
        return now >= self._trusted_at
