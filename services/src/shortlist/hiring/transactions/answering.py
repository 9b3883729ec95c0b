"""What acts are answered: views, and a sentence for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.domain.hiring.opening import rules_to_json
from shortlist.hiring import views
from shortlist.hiring.errors import ConflictError, GoneError, HiringError
from shortlist.storage.postgres.queries.hiring import line
from shortlist.storage.postgres.queries.hiring.codec import encode_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shortlist.domain.hiring.acts import Decision
    from shortlist.domain.hiring.audit import Tail
    from shortlist.domain.hiring.draft import Refused
    from shortlist.domain.hiring.placement import OpeningId, Placement
    from shortlist.domain.line.application import NewApplication
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.queries.hiring.openings import OpeningRow


def refusal(refused: Refused) -> HiringError:
    """Return a refusal of the rules as an error."""
    if refused.code == "GONE":
        return GoneError(refused.message)
    return ConflictError(refused.code, refused.message)


def job(row: OpeningRow, tail: Tail) -> views.Job:
    """Return an opening whose newest event is ``tail``."""
    rules, texts = row.opening.rules, row.texts
    hours = rules_to_json(rules)["answerHours"]
    return views.Job(
        id=row.id,
        title=texts.title,
        description=texts.description,
        capacity=rules.capacity,
        active_count=tail.held,
        waitlist_count=tail.waiting,
        created_at=row.created_at,
        ack_window_seconds=rules.ack_window_seconds,
        order=rules.order,
        pipeline=texts.pipeline,
        confirm=rules.confirm,
        fill_from=rules.fill_from,
        closes_at=rules.closes_at,
        max_misses=rules.max_misses,
        answer_hours=hours and views.AnswerHours(**hours),
        verify_email=texts.verify_email,
        state=row.opening.state,
        version=row.opening.version,
    )


def stands_where_its_score_puts_it(decision: Decision, placement: Placement) -> bool:
    """Tell whether the position of who waits has to be counted."""
    return placement.status == "WAITLIST" and decision.opening.rules.order == "score"


def position_at_the_end(decision: Decision, before: int, placement: Placement) -> int | None:
    """Return the position of who has just joined the end of the line; None: it does not wait.

    Args:
        decision: which made the placement.
        before: the newest sequence before the decision.
        placement: as the application was answered.
    """
    if placement.status != "WAITLIST":
        return None
    return decision.changes[placement.last_sequence - before - 1].event.waiting


async def positions(
    connection: Connection, placements: Sequence[tuple[OpeningId, Placement]]
) -> dict[int, int]:
    """Return the positions of those who wait, by their ids."""
    waiting = [(where, p) for where, p in placements if p.status == "WAITLIST"]
    found = await line.positions(connection, [(where, encode_key(p.key)) for where, p in waiting])
    return {p.id: position for (_, p), position in zip(waiting, found, strict=True)}


def result(
    opening_id: OpeningId,
    placement: Placement,
    position: int | None,
    scoring: NewApplication | None = None,
) -> views.Result:
    """Return what became of an application."""
    return views.Result(
        application_id=placement.id,
        applicant_id=placement.applicant_id,
        job_id=opening_id,
        status=placement.status,
        queue_position=position,
        message=_sentence(placement, position),
        scoring_id=None if scoring is None else str(scoring.id),
    )


def _sentence(placement: Placement, position: int | None) -> str:
    match placement.last_event, placement.status:
        case "ACKNOWLEDGED", _:
            return "You have accepted the offer: the place is yours."
        case _, "ACTIVE":
            return "There was a free place: it is yours."
        case _, "PENDING_ACKNOWLEDGMENT":
            return "A place is offered to you: acknowledge it before the deadline."
        case _, "INACTIVE":
            return "The application is withdrawn."
        case _:
            return f"You are number {position} in line."
