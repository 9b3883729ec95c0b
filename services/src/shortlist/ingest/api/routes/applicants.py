"""Applicants, and what each of them sees of their applications."""

from fastapi import Request, Response

from shortlist.hiring import views
from shortlist.ingest.api.answers import answer, listed
from shortlist.ingest.api.callers import Acting, Here
from shortlist.ingest.api.document import refuses
from shortlist.ingest.api.route import resource
from shortlist.ingest.api.schemas.bodies import ApplicantBody
from shortlist.ingest.api.schemas.parameters import After, ApplicantId, Limit

router = resource("applicants")


@router.get("/applicants", response_model=list[views.Applicant], responses=refuses(400))
async def list_applicants(
    request: Request, here: Here, limit: Limit = None, after: After = None
) -> Response:
    """List all applicants, oldest first."""
    return listed(request, await here.views.applicants(limit=limit, after=after))


@router.post(
    "/applicants", status_code=201, response_model=views.Applicant, responses=refuses(409, 422)
)
async def register(body: ApplicantBody, here: Here, by: Acting) -> Response:
    """Register an applicant; an address that is known is refused."""
    applicant = await here.acts.register(body.name, body.email, by)
    return answer(applicant, 201, {"location": f"/api/applicants/{applicant.id}"})


@router.get(
    "/applicants/{applicantId}", response_model=views.Applicant, responses=refuses(400, 404)
)
async def get_applicant(applicant_id: ApplicantId, here: Here) -> Response:
    """Show an applicant."""
    return answer(await here.views.applicant(applicant_id))


@router.delete("/applicants/{applicantId}", status_code=204, responses=refuses(400, 404))
async def erase(applicant_id: ApplicantId, here: Here, by: Acting) -> Response:
    """Erase an applicant: name, address and texts. Their live applications end."""
    await here.acts.erase(applicant_id, by)
    return Response(status_code=204)


@router.get(
    "/applicants/{applicantId}/export",
    response_model=views.ApplicantExport,
    responses=refuses(400, 404),
)
async def export_applicant(applicant_id: ApplicantId, here: Here) -> Response:
    """Return everything that is kept about an applicant."""
    return answer(await here.views.everything_about(applicant_id))


@router.get(
    "/status/{applicantId}", response_model=views.ApplicantStatus, responses=refuses(400, 404)
)
async def get_status(applicant_id: ApplicantId, here: Here) -> Response:
    """Show all applications of an applicant, oldest first."""
    return answer(await here.views.status(applicant_id))


@router.get(
    "/timeline/{applicantId}", response_model=list[views.Event], responses=refuses(400, 404)
)
async def get_timeline(
    request: Request,
    applicant_id: ApplicantId,
    here: Here,
    limit: Limit = None,
    after: After = None,
) -> Response:
    """List the events of all applications of an applicant, oldest first."""
    return listed(request, await here.views.timeline(applicant_id, limit=limit, after=after))
