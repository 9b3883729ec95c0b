"""Applying, and what an applicant does with an application. The calls that come by the thousand."""

from fastapi import Response

from shortlist.hiring import views
from shortlist.ingest.api.answers import answer
from shortlist.ingest.api.callers import Acting, Here
from shortlist.ingest.api.document import refuses
from shortlist.ingest.api.route import HotRoute, resource
from shortlist.ingest.api.schemas.bodies import ApplyBody, ApplyPubliclyBody, NamedApplicationBody
from shortlist.ingest.api.schemas.parameters import ApplicationId

router = resource("applications")
hot = resource("applications", HotRoute)


@hot.post("/apply", status_code=201, response_model=views.Result, responses=refuses(404, 409, 422))
async def apply(body: ApplyBody, here: Here, by: Acting) -> Response:
    """Apply: to a free place at once, or to the end of the line."""
    async with here.scoring.place(body.job_id, body.payload) as (scoring, keep):
        result = await here.acts.apply(body.applicant_id, body.job_id, by, scoring)
        keep(result)
    return answer(result, 201)


@hot.post(
    "/apply-public", status_code=201, response_model=views.Result, responses=refuses(404, 409, 422)
)
async def apply_publicly(body: ApplyPubliclyBody, here: Here, by: Acting) -> Response:
    """Apply as a person who is found by their address, or made."""
    async with here.scoring.place(body.job_id, body.payload) as (scoring, keep):
        result = await here.acts.apply_publicly(body.name, body.email, body.job_id, by, scoring)
        keep(result)
    return answer(result, 201)


@hot.post("/withdraw", response_model=views.Result, responses=refuses(404, 409, 422))
async def withdraw(body: NamedApplicationBody, here: Here, by: Acting) -> Response:
    """Leave, or remove an applicant: the next in line is promoted."""
    return answer(await here.acts.withdraw(body.application_id, by))


@hot.post("/acknowledge", response_model=views.Result, responses=refuses(404, 409, 410, 422))
async def acknowledge(body: NamedApplicationBody, here: Here, by: Acting) -> Response:
    """Take the place that was offered, in time."""
    return answer(await here.acts.acknowledge(body.application_id, by))


@router.get(
    "/applications/{applicationId}",
    response_model=views.ApplicationDetail,
    responses=refuses(400, 404),
)
async def get_application(application_id: ApplicationId, here: Here) -> Response:
    """Show an application: where it stands, why, and what happened to it."""
    return answer(await here.views.application(application_id))


router.routes[:0] = hot.routes
