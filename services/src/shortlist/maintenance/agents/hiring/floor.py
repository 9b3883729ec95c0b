"""How far back the leader looks for what is due.

What was settled stays in an index until a vacuum, which an old snapshot elsewhere puts off. Reading
it again would cost more at each look.
"""

from __future__ import annotations

import datetime as dt
import time

EVER = dt.datetime.min.replace(tzinfo=dt.UTC)

_LATE = dt.timedelta(seconds=10)
"""Nothing is committed so long after the time that it bears, but for a stall."""

_ALL_SECONDS = 60.0
"""Once in so long the leader looks at all, and finds what a stall made late."""


class Floor:
    """The time up to which all was settled, by Postgres's clock."""

    def __init__(self) -> None:
        """Nothing was looked at yet."""
        self.after = EVER
        self._looked_at_all = time.monotonic()

    def begin_turn(self) -> dt.datetime:
        """Return from when on to look; now and then that is from the beginning."""
        if time.monotonic() - self._looked_at_all > _ALL_SECONDS:
            self.after, self._looked_at_all = EVER, time.monotonic()
        return self.after

    def nothing_is_due(self, now: dt.datetime) -> None:
        """Learn that nothing is due at a time of Postgres's, whose clock may have been set back."""
        self.after = now - _LATE
