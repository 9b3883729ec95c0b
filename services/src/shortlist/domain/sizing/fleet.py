"""The workers of a pipeline, as their controller (`up` or the operator) sees them.

What `scaling`, `drain` and `grants` are told about a worker is made once, by the caller, from the
heartbeats (`storage.redis.heartbeats`), from what Postgres counts, and from the pods or processes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.percentiles import nearest_rank

if TYPE_CHECKING:
    from collections.abc import Mapping

_STARTS_REMEMBERED = 50
_NAMES_REMEMBERED = 1000

_LONGEST_START_SECONDS = 600.0
"""What took longer, or less than nothing, was told by two clocks that do not agree."""


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """One worker that reports. Counters only grow while it lives; times are in seconds."""

    id: str
    ready: bool = True
    """Reports freshly and may take work. Not so: still starting, stuck, or cut off."""
    draining: bool = False
    """It says itself that it takes nothing more: what is in flight can only shrink."""
    in_flight: int = 0
    busy_seconds: float = 0.0
    """Sum over its slots of the time spent on applications, those under way included."""
    ended: int = 0
    """Attempts that ended, however they did."""
    open_connections: int = 0
    """What it reports or what Postgres counts for it, whichever is more."""
    started_at: float = 0.0

    @property
    def pulls(self) -> bool:
        """Whether it takes from the line."""
        return self.ready and not self.draining


class StartTimes:
    """How long workers took of late from being asked for to ready."""

    def __init__(self) -> None:
        """None was seen yet."""
        self._counted: dict[str, None] = {}
        self._seconds: deque[float] = deque(maxlen=_STARTS_REMEMBERED)

    def see(self, ready: Mapping[str, float]) -> None:
        """``ready``: each worker that is ready now → how many seconds that took.

        Each counts once: one that was not ready for a while, and is again, did not start again.
        """
        for name, seconds in ready.items():
            if name not in self._counted:
                self._counted[name] = None
                if 0 <= seconds <= _LONGEST_START_SECONDS:
                    self._seconds.append(seconds)
        while len(self._counted) > max(_NAMES_REMEMBERED, len(ready)):
            del self._counted[next(iter(self._counted))]

    def p90_seconds(self) -> float | None:
        """Return the 90th percentile; None before the first."""
        if not self._seconds:
            return None
        return nearest_rank(sorted(self._seconds), 0.9)
