"""How full one line is, known well enough to refuse without asking a server.

What Redis told last, plus what entered here since: so a burst between two looks cannot overshoot.
While Redis is away, and until the sweep has put on the line what it missed, Postgres counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.domain.errors import ShortlistError
from shortlist.ingest.admission.rate_limit import Quota
from shortlist.telemetry.metrics import REFUSED

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


class LineCapacity:
    """How many applications of one pipeline are accepted and unfinished.

    An estimate that never forgets what this process did itself. Times are monotonic seconds.
    """

    def __init__(self, pipeline: PipelineName, capacity: int) -> None:
        """``capacity``: with so many, the line is full."""
        self.pipeline = pipeline
        self.capacity = capacity
        self.tells = 0
        """How often Redis told the depth: an answer asked for before the last one is stale."""
        self._told = 0  # by Redis
        self._counted = 0  # by Postgres, in place of Redis
        # Not yet in what was told or counted, oldest first (ids are times):
        self._under_way: dict[ApplicationId, None] = {}
        self._strays: dict[ApplicationId, None] = {}  # accepted, but not published
        self._trusted_at = 0.0

    @property
    def depth(self) -> int:
        """The estimate."""
        known = max(self._told, self._counted)
        return known + len(self._under_way) + len(self._strays)

    @property
    def is_full(self) -> bool:
        """Whether there is no place left."""
        return self.depth >= self.capacity

    def enter(self, application_id: ApplicationId) -> None:
        """Take a place; raises `LineFullError` when there is none."""
        if self.is_full:
            REFUSED.labels("line_full").inc()
            raise LineFullError
        self._under_way[application_id] = None

    def leave(self, application_id: ApplicationId) -> None:
        """Give a place back: what took it was not accepted as new."""
        self._under_way.pop(application_id, None)

    def published(self, ids: Iterable[ApplicationId], depth: int, now: float) -> None:
        """Some that entered are in the line now, which is ``depth`` long with them."""
        for application_id in ids:
            self._under_way.pop(application_id, None)
            self._counted += 1
        self.tell(depth, now)

    def strayed(self, ids: Iterable[ApplicationId], now: float) -> None:
        """Count applications as accepted but not published; the sweep will find them."""
        for application_id in ids:
            self._under_way.pop(application_id, None)
            self._strays[application_id] = None
        self.distrust(now)

    def distrust(self, now: float) -> None:
        """Take Redis's depth for too low, until the sweep has published the rest."""
        self._trusted_at = now + _SWEPT_SECONDS

    def trusts(self, now: float) -> bool:
        """Whether Redis's depth counts all that is accepted."""
        return now >= self._trusted_at

    def tell(self, depth: int, now: float) -> None:
        """Take over the depth that Redis has reported."""
        self.tells += 1
        self._told = depth
        if self.trusts(now):
            self._counted = 0
            self._strays.clear()

    def oldest_under_way(self) -> ApplicationId | None:
        """Return the oldest that is being committed; ours below it are unpublished or settled."""
        return next(iter(self._under_way), None)

    def count(self, unfinished: int, before: UUID) -> None:
        """Take over Postgres's count of unfinished applications with an id below ``before``."""
        self._counted = unfinished
        self._strays = {i: None for i in self._strays if i >= before}

    def quota(self) -> Quota:
        """The line's room, in the words of a rate limit."""
        return Quota(self.capacity, self.capacity - self.depth, _RETRY_AFTER_SECONDS)
