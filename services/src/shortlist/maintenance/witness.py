"""The time by which things are old enough to be removed, which cannot be undone.

It is Postgres's, and counts no further than time has been witnessed to pass: a clock that jumps
ahead by a hundred days makes things older by a day at most, and is complained of.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from shortlist.storage.postgres.queries import retention

if TYPE_CHECKING:
    import datetime as dt

    from shortlist.storage.postgres import Connection

_TAKEN_ON_TRUST_SECONDS = 86_400.0
"""How much may have passed unwitnessed before a leader's first turn; never more than half of what
is kept."""

_DRIFT = 1.01
"""Two clocks that are both right may run so much apart."""

_TOLERATED_SECONDS = 60.0
"""By which Postgres's clock may be ahead without a complaint: turns are as far apart."""

log = structlog.get_logger(__name__)


class Witness:
    """Witnesses for one agent how time passes."""

    def __init__(self, name: str, kept: dt.timedelta) -> None:
        """``name``: whose time it is, in Postgres; ``kept``: the shortest time of its retention."""
        self._name = name
        self._kept = kept
        self._witnessed_at: float | None = None

    async def time(self, connection: Connection) -> dt.datetime:
        """Return the time by which things are old enough; warn when it is not Postgres's."""
        asked = time.monotonic()
        if self._witnessed_at is None:
            passed_seconds = min(_TAKEN_ON_TRUST_SECONDS, self._kept.total_seconds() / 2)
        else:
            passed_seconds = (asked - self._witnessed_at) * _DRIFT
        now, ahead_seconds = await retention.witness_time(connection, self._name, passed_seconds)
        self._witnessed_at = asked
        if ahead_seconds > _TOLERATED_SECONDS:
            log.warning("clock_is_ahead", seconds=round(ahead_seconds), trusted=now.isoformat())
        return now
