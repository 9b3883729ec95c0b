from __future__ import annotations

import datetime as dt
from uuid import UUID

import pytest

from shortlist.dashboard import view
from shortlist.dashboard.snapshot_reader import Figures, Snapshot
from shortlist.domain.line.application import ApplicationId, ApplicationView, PipelineName

NOON = dt.datetime(2026, 1, 2, 12, 0, 0, tzinfo=dt.UTC)
AN_ID = ApplicationId(UUID("01941f29-7c00-7aaa-bbbb-0123456789ab"))


def scored(candidate: str = "Ada") -> ApplicationView:
    return ApplicationView(
        id=AN_ID,
        pipeline=PipelineName("default"),
        candidate=candidate,
        status="scored",
        attempts=1,
        accepted_at=NOON,
        score=71.5,
        finished_at=NOON + dt.timedelta(seconds=1.526),
    )


def page_of(application: ApplicationView, figures: Figures | None = None) -> view.Page:
    snapshot = Snapshot(NOON, [application], figures)
    return view.page(snapshot, NOON + dt.timedelta(seconds=90))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (59.9, "59 s"), (60, "1 min"), (7_199, "1 h"), (86_400 * 9, "9 d")],
)
def test_a_span_is_given_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert view.span(seconds) == text


def test_a_row_holds_only_texts() -> None:
    row = page_of(scored()).rows[0]
    assert (row.score, row.took, row.age, row.short_id) == ("71.50", "1.53 s", "1 min", "456789ab")


def test_a_name_as_long_as_a_request_is_shortened() -> None:
    row = page_of(scored("x" * 65_000)).rows[0]
    assert row.candidate == "x" * (view.CANDIDATE_LIMIT - 1) + "…"


def test_figures_that_redis_does_not_tell_are_unknown() -> None:
    page = page_of(scored(), figures=None)
    assert not page.line_answers
    assert set(page.figures.values()) == {view.UNKNOWN}


def test_figures_are_grouped_by_thousands() -> None:
    figures = Figures(waiting=12_345, in_flight=9, workers=2, slots=20, connections=22)
    page = page_of(scored(), figures)
    assert page.figures == {
        "waiting": "12,345", "in_flight": "9 of 20", "workers": "2", "connections": "22",
    }  # fmt: skip
