"""What the hiring contract answers: one definition for reads, for acts, and for the document.

Fields are the contract's, in camelCase. A field without a value is ``null``, never left out. An
erased applicant's name is `ERASED`, and their address is ``null``.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from shortlist.domain.hiring.audit import ActorKind, EventType
from shortlist.domain.hiring.company_acts import Result as Outcome
from shortlist.domain.hiring.deadlines import Day, iso
from shortlist.domain.hiring.opening import Confirm, State
from shortlist.domain.hiring.ordering import Order
from shortlist.domain.hiring.placement import Status

ERASED: Final = "(erased)"
"""The name of an applicant whose data were erased; their placements and events stay."""

Instant = Annotated[
    dt.datetime,
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time; written in UTC with milliseconds and ``Z``."""


class View(BaseModel):
    """What is answered; never changed."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class AnswerHours(View):
    """When the windows of an opening's offers run; times are ``HH:MM`` of the zone."""

    zone: str
    days: list[Day]
    from_: str = Field(alias="from")
    to: str


class Job(View):
    """An opening. ``active_count``: ACTIVE and PENDING_ACKNOWLEDGMENT."""

    id: int
    title: str
    description: str | None
    capacity: int
    active_count: int
    waitlist_count: int
    created_at: Instant
    ack_window_seconds: int
    order: Order
    pipeline: str | None
    confirm: Confirm
    fill_from: Instant | None
    closes_at: Instant | None
    max_misses: int | None
    answer_hours: AnswerHours | None
    verify_email: bool
    state: State
    version: int


class Entry(View):
    """A placement with its applicant. ``queue_position``: of those who wait, from 1."""

    application_id: int
    applicant_id: int
    applicant_name: str
    applicant_email: str | None
    status: Status
    queue_position: int | None
    applied_at: Instant
    promoted_at: Instant | None
    acknowledge_deadline: Instant | None


class JobDetail(Job):
    """An opening with who has places, in the order in which they got them, and who waits."""

    active_applicants: list[Entry]
    waitlist_applicants: list[Entry]


class Applicant(View):
    """A person known by their address."""

    id: int
    name: str
    email: str
    created_at: Instant


class Result(View):
    """What became of an application. ``message``: a sentence for people.

    ``scoring_id``: the id under which the payload is scored; null without a payload.
    """

    application_id: int
    applicant_id: int
    job_id: int
    status: Status
    queue_position: int | None
    message: str
    scoring_id: str | None = None


class Event(View):
    """An event of the audit. ``id``: unique over all openings, rises within one.

    ``application_id`` and ``to_status`` are null in an opening's own events, which timelines and
    replays do not have.
    """

    id: int
    application_id: int | None
    event_type: EventType
    from_status: Status | None
    to_status: Status | None
    metadata: dict[str, Any]
    created_at: Instant


class SequencedEvent(Event):
    """An event as streams and exports have it. ``sequence``: 1, 2, 3 … within the opening."""

    job_id: int
    sequence: int


class StatusApplication(View):
    """One of an applicant's applications, live or not."""

    application_id: int
    job_id: int
    job_title: str
    status: Status
    queue_position: int | None
    applied_at: Instant
    promoted_at: Instant | None
    acknowledge_deadline: Instant | None
    time_in_current_state_seconds: int


class ApplicantStatus(View):
    """An applicant with all their applications, oldest first."""

    applicant_id: int
    applicant_name: str
    applicant_email: str
    applications: list[StatusApplication]


class QueueEntry(View):
    """A placement in line."""

    application_id: int
    applicant_id: int
    applicant_name: str
    position: int
    applied_at: Instant
    penalty_count: int


class QueueView(View):
    """An opening's line, by position."""

    job_id: int
    job_title: str
    capacity: int
    active_count: int
    waitlist_entries: list[QueueEntry]


class Summary(View):
    """An opening in numbers; an average is null when there is nothing to average.

    ``avg_time_to_promotion_seconds``: from applying to the first promotion, over all that were ever
    promoted. ``avg_acknowledgment_time_seconds``: from a promotion to its acknowledgement.
    """

    job_id: int
    job_title: str
    capacity: int
    active_count: int
    waitlist_count: int
    inactive_count: int
    total_applications: int
    avg_time_to_promotion_seconds: float | None
    avg_acknowledgment_time_seconds: float | None
    decay_events: int


class ReplayEntry(View):
    """A placement as it stood. ``queue_position``: of those who waited, from 1."""

    application_id: int
    applicant_id: int
    applicant_name: str
    status: Status
    queue_position: int | None


class ReplayView(View):
    """An opening as it was after an event.

    ``as_of``: the time that was asked for, as it was understood. ``sequence``: the last event that
    had happened; 0 before the opening existed, when ``capacity`` is null. ``event_count``: how many
    events ``events`` has in whole.
    """

    job_id: int
    as_of: Instant
    active_applicants: list[ReplayEntry]
    waitlist_applicants: list[ReplayEntry]
    events: list[Event]
    capacity: int | None
    active_count: int
    waitlist_count: int
    event_count: int
    sequence: int


class ListedEntry(Entry):
    """An entry of a company's list."""

    score: float | None
    penalty_count: int


class EntryPage(View):
    """A page of a company's list.

    ``next``: what ``after`` is for the page behind; null: none. ``why``: why no applicant is
    promoted at the moment, in sentences; empty when the line moves.
    """

    entries: list[ListedEntry]
    total: int
    next: str | None
    why: list[str]


class ScoreReasons(View):
    """Why a payload has its score, as its scorer told. ``status``: ``failed``: a person looks."""

    status: Literal["scored", "failed"]
    score: float | None
    reason: str | None
    detail: Any
    finished_at: Instant | None


class ApplicationDetail(ListedEntry):
    """An application with its past. ``ahead``: how many stand in front of it; null unless it waits.

    ``why``: sentences for the applicant, without names. ``score_reasons``: null until it is scored.
    """

    job_id: int
    job_title: str
    scoring_id: str | None
    score_reasons: ScoreReasons | None
    ahead: int | None
    why: list[str]
    timeline: list[Event]


class ActionOutcome(View):
    """What a company's act did to one application, and how that stands now."""

    application_id: int
    outcome: Outcome
    status: Status
    queue_position: int | None


class ActionResult(View):
    """What a company's act did. ``promoted``: who got an offer because of it.

    ``action_id`` is null after a dry run, ``undo_until`` after a dry run and after an undo.
    """

    action_id: int | None
    undo_until: Instant | None
    results: list[ActionOutcome]
    promoted: list[ActionOutcome]


class Verification(View):
    """Whether an audit is whole. ``events``: how many are. ``head``: the last one's digest, in hex.

    ``problem``: what is wrong first; null when ``intact``.
    """

    events: int
    head: str
    intact: bool
    problem: str | None


class AuditActor(View):
    """Who acted. ``reference``: the id of the person, link or key; null for the system."""

    kind: ActorKind
    reference: str | None


class AuditEvent(SequencedEvent):
    """An event as an exported log has it: with all that its digest, in hex, is made of.

    ``held``: ACTIVE and PENDING_ACKNOWLEDGMENT after it; ``waiting``: WAITLIST.
    """

    actor: AuditActor
    held: int
    waiting: int
    digest: str


class ApplicantExport(View):
    """All that is kept about one applicant."""

    applicant: Applicant
    applications: list[ApplicationDetail]
