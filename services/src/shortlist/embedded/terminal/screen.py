"""What a person sees while `shortlist up` runs: a live panel on a terminal, plain lines elsewhere.

Everything is written by a thread of its own: a terminal that is paused (Ctrl-S) or gone must not
keep the supervisor from noticing the dead. What cannot be written in time is dropped.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from shortlist.embedded.terminal.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from shortlist.domain.line.application import PipelineName
    from shortlist.domain.sizing.scaling import ScalingDecision
    from shortlist.embedded.terminal.view import PipelineView

Phase = Literal["starting", "running", "draining"]

_QUEUE_LENGTH = 64
_CLOSE_SECONDS = 2.0
_PLAIN_INTERVAL_SECONDS = 5.0


@dataclass(frozen=True)
class State:
    """All that is shown."""

    phase: Phase
    url: str
    data: Path
    uptime_seconds: float
    view: View = field(default_factory=View)
    workers_wanted: dict[str, int] = field(default_factory=dict)
    decisions: Mapping[PipelineName, ScalingDecision] = field(default_factory=dict)
    """What the scaling policy decided last."""
    budget: int = 0
    children: dict[str, str] = field(default_factory=dict)
    """Child that has not ended for good → what is the matter with it; empty when nothing is."""
    warnings: list[str] = field(default_factory=list)


class Painter(Protocol):
    """Draws on something; used by one thread only."""

    def say(self, sentence: str) -> None:
        """Add a line that stays."""

    def show(self, state: State) -> None:
        """Show the state now."""

    def close(self) -> None:
        """Leave the output as a person wants to find it."""


class Screen:
    """Hands what is to be shown to a thread that shows it."""

    def __init__(self, make_painter: Callable[[], Painter], log: Path | None = None) -> None:
        """``make_painter`` is called by the thread. ``log`` gets every sentence too."""
        self._make_painter = make_painter
        self.log = log
        self._queue: queue.Queue[str | State | None] = queue.Queue(_QUEUE_LENGTH)
        self._thread = threading.Thread(target=self._paint, name="screen", daemon=True)
        self._thread.start()

    def say(self, sentence: str) -> None:
        """Add a line that stays."""
        self._put(sentence)

    def show(self, state: State) -> None:
        """Show the state now."""
        self._put(state)

    def close(self) -> None:
        """Show what is left, if that is possible."""
        self._put(None)
        self._thread.join(_CLOSE_SECONDS)

    def _put(self, item: str | State | None) -> None:
        with suppress(queue.Full):
            self._queue.put_nowait(item)

    def _paint(self) -> None:
        painter = self._make_painter()
        while (item := self._queue.get()) is not None:
            if isinstance(item, str):
                self._keep(item)
            with suppress(OSError, ValueError):  # the terminal is gone, or the pipe is closed
                painter.show(item) if isinstance(item, State) else painter.say(item)
        with suppress(OSError, ValueError):
            painter.close()

    def _keep(self, sentence: str) -> None:
        if self.log is not None:
            with suppress(OSError), self.log.open("a", encoding="utf-8") as output:
                output.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {sentence}\n")


class PlainPainter:
    """A line now and then, for logs and pipes."""

    def __init__(self) -> None:
        """Write to standard output."""
        self._next = 0.0

    def say(self, sentence: str) -> None:
        """Print it."""
        sys.stdout.write(f"{sentence}\n")
        sys.stdout.flush()

    def show(self, state: State) -> None:
        """Print a status line, not too often."""
        if state.phase == "draining":
            self.say(f"{time.strftime('%H:%M:%S')} {progress(state)}")
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + _PLAIN_INTERVAL_SECONDS
            self.say(status_line(state))

    def close(self) -> None:
        """Nothing to tidy."""


def status_line(state: State) -> str:
    """Format the state in one line."""
    clock = time.strftime("%H:%M:%S")
    troubles = [*state.view.problems, *state.warnings, *_troubles(state)]
    parts = [f"{clock} {state.phase}", *_pipelines(state), *scaling(state), *troubles]
    return " | ".join(parts)


def scaling(state: State) -> list[str]:
    """Return why there are so many workers, for each pipeline."""
    return [f"{name}: {_why(decision)}" for name, decision in state.decisions.items()]


def _why(decision: ScalingDecision) -> str:
    if decision.limited_by in (None, "dryRun", "paused", "pauseScaleIn", "metrics"):
        return decision.reason  # which says so
    return f"{decision.reason}, limited by {decision.limited_by}"


def workers(pipeline: PipelineView, state: State) -> str:
    """Format how many take from the line, of how many there shall be, and how many leave."""
    draining = f" +{pipeline.draining} draining" if pipeline.draining else ""
    return f"{pipeline.workers}/{state.workers_wanted.get(pipeline.name, 0)}{draining}"


def progress(state: State) -> str:
    """Return how far a drain is."""
    return (
        f"draining: {state.view.in_flight} in flight, {len(state.children)} processes left to end"
    )


def _pipelines(state: State) -> list[str]:
    return [
        f"{pipeline.name}: waiting {pipeline.waiting}, in flight {pipeline.in_flight}, "
        f"accepted {pipeline.accepted_rate:.1f}/s, completed {pipeline.completed_rate:.1f}/s, "
        f"workers {workers(pipeline, state)}, "
        f"connections {pipeline.open}/{pipeline.granted}, "
        f"p99 {seconds(pipeline.p99_seconds)}"
        for pipeline in state.view.pipelines
    ]


def _troubles(state: State) -> list[str]:
    return [f"{name}: {problem}" for name, problem in state.children.items() if problem]


def seconds(value: float | None) -> str:
    """Format a time for people; a dash when there is none."""
    return "-" if value is None else f"{value:.1f} s"
