"""What clients send. Fields that are not named here are ignored."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from shortlist.domain.hiring.company_acts import Action
from shortlist.domain.hiring.deadlines import Day
from shortlist.domain.hiring.opening import WINDOW_SECONDS_DEFAULT, Confirm
from shortlist.domain.hiring.ordering import Order
from shortlist.domain.hiring.placement import PlacementId
from shortlist.ingest.api.schemas import fields


class Body(BaseModel):
    """What is sent; never changed."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel)


class AnswerHoursBody(Body):
    """When the windows of offers run; times are ``HH:MM`` of the zone, ``24:00`` its day's end."""

    zone: Annotated[fields.Line, Field(min_length=1, max_length=100)]
    days: Annotated[list[Day], Field(min_length=1, max_length=7)]
    from_: Annotated[fields.OpensAt, Field(alias="from")]
    to: fields.ClosesAt


class NewJobBody(Body):
    """A new opening. The defaults are those of the contract."""

    title: fields.Title
    description: fields.Description | None = None
    capacity: fields.Capacity
    ack_window_seconds: fields.WindowSeconds = WINDOW_SECONDS_DEFAULT
    order: Order = "fifo"
    pipeline: Annotated[fields.Line, Field(max_length=63)] | None = None
    confirm: Confirm = "promoted"
    fill_from: fields.Moment | None = None
    closes_at: fields.Moment | None = None
    max_misses: fields.Misses | None = None
    answer_hours: AnswerHoursBody | None = None
    verify_email: fields.Flag = False


class JobChanges(NewJobBody):
    """Changes of an opening: what is left out stays. ``version``: which one was looked at."""

    title: fields.Title = ""
    capacity: fields.Capacity = 1
    version: fields.Version | None = None


class StateBody(Body):
    """Why an opening is closed, reopened or ended."""

    reason: fields.Reason | None = None


class ApplicantBody(Body):
    """A person who may apply."""

    name: fields.Name
    email: fields.Email


class ApplyBody(Body):
    """An applicant applies. With a payload it is scored, too."""

    applicant_id: fields.Person
    job_id: fields.Opening
    payload: fields.Payload | None = None


class ApplyPubliclyBody(ApplicantBody):
    """A person applies, known or not."""

    job_id: fields.Opening
    payload: fields.Payload | None = None


class NamedApplicationBody(Body):
    """Which application is meant."""

    application_id: fields.Application


def _are_different(ids: list[PlacementId]) -> list[PlacementId]:
    if len(set(ids)) < len(ids):
        raise PydanticCustomError("unique", "Each application is named once")
    return ids


class ActionBody(Body):
    """What a company does to applications by hand.

    ``position``: of a move, counted among those who wait and are not moved.
    """

    action: Action
    application_ids: Annotated[
        list[fields.Application],
        Field(min_length=1, max_length=fields.ACTION_LIMIT_APPLICATIONS),
        AfterValidator(_are_different),
    ]
    position: fields.Position | None = None
    reason: fields.Reason
    notify: fields.Flag = False
    dry_run: fields.Flag = False
