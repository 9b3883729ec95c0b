"""What can be seen of the line, the workers and the connections at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PipelineView:
    """One pipeline now. Rates are per second; p99 is of the last minute, in seconds.

    ``workers`` are those that take from the line, ``draining`` those that take nothing more.
    """

    name: str
    waiting: int = 0
    in_flight: int = 0
    accepted_rate: float = 0.0
    completed_rate: float = 0.0
    workers: int = 0
    granted: int = 0
    open: int = 0
    p99_seconds: float | None = None
    draining: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """What could be seen; ``problems`` says what could not."""

    pipelines: list[PipelineView] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def in_flight(self) -> int:
        """Of all pipelines."""
        return sum(pipeline.in_flight for pipeline in self.pipelines)
