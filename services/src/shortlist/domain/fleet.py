"""The workers of a pipeline, as whoever sizes them sees them.

What `scaling`, `drain` and `grants` are told about a worker is made once, by the caller, from the
heartbeats (`storage.heartbeats`), from what Postgres counts, and from the pods or processes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Worker:
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
