"""Bodies of openings as the domain's values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shortlist.domain.hiring.deadlines import AnswerHours, minute_of
from shortlist.domain.hiring.opening import Rules
from shortlist.hiring.requests import NewOpening

if TYPE_CHECKING:
    from shortlist.ingest.api.schemas.bodies import AnswerHoursBody, JobChanges, NewJobBody


def new_opening(body: NewJobBody) -> NewOpening:
    """Return the opening that a client asks for."""
    return NewOpening(
        title=body.title,
        description=body.description,
        pipeline=body.pipeline,
        verify_email=body.verify_email,
        rules=Rules(
            capacity=body.capacity,
            ack_window_seconds=body.ack_window_seconds,
            order=body.order,
            confirm=body.confirm,
            fill_from=body.fill_from,
            closes_at=body.closes_at,
            max_misses=body.max_misses,
            answer_hours=_hours(body.answer_hours),
        ),
    )


def changes_of(body: JobChanges) -> dict[str, Any]:
    """Return what is to be changed, by the names of the domain."""
    changes = {name: getattr(body, name) for name in body.model_fields_set - {"version"}}
    if "answer_hours" in changes:
        changes["answer_hours"] = _hours(body.answer_hours)
    return changes


def _hours(body: AnswerHoursBody | None) -> AnswerHours | None:
    if body is None:
        return None
    return AnswerHours(body.zone, frozenset(body.days), minute_of(body.from_), minute_of(body.to))
