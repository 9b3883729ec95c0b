"""Makes ids that trust no clock but Postgres's, and that only grow.

The order of ids is the order in which applications were accepted: the sweep, the leaderboard's ties
and the newest page rely on it. So an id is of the time that Postgres shows, whatever this host's
clock says; and when that is set back, ids go on from the newest that there is, as if it were not.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from shortlist.domain.line.application import MOST_AHEAD_MILLISECONDS, id_at, milliseconds_of

if TYPE_CHECKING:
    import datetime as dt
    from uuid import UUID

    from shortlist.domain.line.application import ApplicationId

_SLACK_BITS = 62
"""Below those that count within a millisecond."""


class Ids:
    """Makes the ids of one process. Before `learn` it follows this host's clock."""

    def __init__(self) -> None:
        """Nothing is known of Postgres's clock yet."""
        self._ahead_milliseconds: float | None = None  # of `time.monotonic`
        self._last: tuple[int, int] = (0, 0)

    def learn(self, now: dt.datetime, newest: UUID | None) -> None:
        """Take over Postgres's clock, and the newest application's id."""
        now_milliseconds = now.timestamp() * 1000
        known = 0 if newest is None else milliseconds_of(newest)
        if known > now_milliseconds + MOST_AHEAD_MILLISECONDS:
            known = 0
        ahead = max(now_milliseconds, known) - time.monotonic() * 1000
        if self._ahead_milliseconds is None or ahead > self._ahead_milliseconds:
            self._ahead_milliseconds = ahead

    def next(self) -> ApplicationId:
        """Make an id, above all that this process has made."""
        last, count = self._last
        now = max(last, self._milliseconds())
        count = count + 1 if now == last else 0
        self._last = now, count
        return id_at(now, (count & 0xFFF) << _SLACK_BITS | secrets.randbits(_SLACK_BITS))

    def _milliseconds(self) -> int:
        if self._ahead_milliseconds is None:
            return time.time_ns() // 1_000_000
        return int(time.monotonic() * 1000 + self._ahead_milliseconds)
