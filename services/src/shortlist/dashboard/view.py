"""From what was read to the texts of the page. Pure.

The page and its updates are made of the same texts, so that the script in the browser only puts
strings where they belong and formats nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

    from shortlist.dashboard.snapshot_reader import Figures, Snapshot
    from shortlist.domain.line.application import ApplicationView

CANDIDATE_LIMIT = 120
"""Characters of a candidate's name that are shown; it may be as long as a request."""

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Row:
    """One application's line, every field a text to show, but ``id`` and the machine's times."""

    id: str
    short_id: str
    candidate: str
    pipeline: str
    status: str
    score: str
    attempts: str
    accepted_at: str
    age: str
    took: str
    reason: str


@dataclass(frozen=True, slots=True)
class Page:
    """All that changes on the page."""

    rows: list[Row]
    figures: dict[str, str]
    line_answers: bool


def page(snapshot: Snapshot, now: dt.datetime) -> Page:
    """Make the page at ``now`` (aware)."""
    return Page(
        rows=[_row(application, now) for application in snapshot.recent],
        figures=_figures(snapshot.figures),
        line_answers=snapshot.figures is not None,
    )


def _row(application: ApplicationView, now: dt.datetime) -> Row:
    finished_at = application.finished_at
    return Row(
        id=str(application.id),
        short_id=application.id.hex[-8:],  # the random end; the start is a time
        candidate=shortened(application.candidate, CANDIDATE_LIMIT),
        pipeline=application.pipeline,
        status=application.status,
        score="" if application.score is None else f"{application.score:.2f}",
        attempts=str(application.attempts),
        accepted_at=application.accepted_at.isoformat(timespec="milliseconds"),
        age=span((now - application.accepted_at).total_seconds()),
        took="" if finished_at is None else span_exactly(finished_at - application.accepted_at),
        reason=shortened(application.reason or "", CANDIDATE_LIMIT),
    )


def _figures(figures: Figures | None) -> dict[str, str]:
    if figures is None:
        return dict.fromkeys(("waiting", "in_flight", "workers", "connections"), UNKNOWN)
    return {
        "waiting": f"{figures.waiting:,}",
        "in_flight": f"{figures.in_flight:,} of {figures.slots:,}",
        "workers": f"{figures.workers:,}",
        "connections": f"{figures.connections:,}",
    }


_MINUTE = 60


def shortened(text: str, limit: int) -> str:
    """At most ``limit`` characters, the last one an ellipsis when some are missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def span(seconds: float) -> str:
    """Return how long ago, in the largest unit that fits: ``0 s``, ``59 s``, ``3 min``, ``2 h``."""
    whole = max(0, int(seconds))  # another machine's clock may be ahead
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", _MINUTE)):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def span_exactly(delta: dt.timedelta) -> str:
    """Return how long something took: hundredths of a second below a minute."""
    seconds = delta.total_seconds()
    return f"{max(0.0, seconds):.2f} s" if seconds < _MINUTE else span(seconds)
