"""The live panel of `shortlist up`, for a terminal."""

from __future__ import annotations

import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shortlist.embedded.terminal.screen import State, progress, scaling, seconds, workers

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shortlist.embedded.terminal.view import PipelineView

_COLUMNS = (
    "pipeline",
    "waiting",
    "in flight",
    "accepted",
    "completed",
    "workers",
    "connections",
    "p99",
)

_RUNNING_HINT = "Ctrl-C finishes what is in flight and stops; twice stops at once. Nothing is lost."


class PanelPainter:
    """Redraws one panel in place; sentences scroll by above it."""

    def __init__(self) -> None:
        """Take the terminal."""
        _hide_control_characters()
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()

    def say(self, sentence: str) -> None:
        """Print above the panel."""
        self._console.print(Text(sentence))

    def show(self, state: State) -> None:
        """Redraw."""
        self._live.update(render(state), refresh=True)

    def close(self) -> None:
        """Leave the last panel where it is and the cursor below it."""
        self._live.stop()


def render(state: State) -> RenderableType:
    """Render the panel for a state."""
    parts: list[RenderableType] = [_pipelines(state)]
    parts += [Text(why, style="dim") for why in scaling(state)]
    parts += [Text(), _children(state)]
    troubles = [*state.view.problems, *state.warnings]
    parts += [Text(f"! {trouble}", style="bold red") for trouble in troubles]
    return Panel(
        Group(*parts, Text(), Text(_hint(state), style="dim")),
        title=f"[bold]Shortlist[/bold] {state.url}",
        subtitle=f"{state.phase} {_clock(state.uptime_seconds)}, data in {state.data}",
        title_align="left",
        subtitle_align="left",
    )


def _pipelines(state: State) -> Table:
    table = Table(box=None, expand=True, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column == "pipeline" else "right", no_wrap=True)
    for pipeline in state.view.pipelines:
        table.add_row(*_row(pipeline, state))
    return table


def _row(pipeline: PipelineView, state: State) -> tuple[str, ...]:
    return (
        pipeline.name,
        f"{pipeline.waiting}",
        f"{pipeline.in_flight}",
        f"{pipeline.accepted_rate:.1f}/s",
        f"{pipeline.completed_rate:.1f}/s",
        workers(pipeline, state),
        f"{pipeline.open}/{pipeline.granted} of {state.budget}",
        seconds(pipeline.p99_seconds),
    )


def _children(state: State) -> Text:
    text = Text()
    for name, problem in state.children.items():
        if name.startswith("worker-") and not problem:
            continue  # there may be many, and the table counts them
        text.append("● ", style="red" if problem else "green")
        text.append(f"{name} ({problem})  " if problem else f"{name}  ")
    return text


def _hint(state: State) -> str:
    if state.phase == "draining":
        return f"{progress(state).capitalize()}. Ctrl-C again stops at once. Nothing is lost."
    return _RUNNING_HINT


def _hide_control_characters() -> None:
    """Hide a Ctrl-C: shown as ^C it would push the panel out of place."""
    with suppress(termios.error, OSError, ValueError):
        attributes = termios.tcgetattr(sys.stdin)
        attributes[3] &= ~termios.ECHOCTL  # the local modes
        termios.tcsetattr(sys.stdin, termios.TCSANOW, attributes)


def _clock(uptime_seconds: float) -> str:
    minutes, secs = divmod(int(uptime_seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{secs:02}"
