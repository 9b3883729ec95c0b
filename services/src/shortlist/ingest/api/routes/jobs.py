"""Openings, which the contract calls jobs."""

from fastapi import Request, Response

from shortlist.domain.hiring.placement import OpeningId
from shortlist.hiring import views
from shortlist.hiring.transactions.asked import StateChange
from shortlist.ingest.api.answers import answer, linked, listed
from shortlist.ingest.api.callers import Acting, Here
from shortlist.ingest.api.document import refuses
from shortlist.ingest.api.route import resource
from shortlist.ingest.api.schemas.bodies import JobChanges, NewJobBody, StateBody
from shortlist.ingest.api.schemas.parameters import After, JobId, Limit
from shortlist.ingest.api.schemas.rules import changes_of, new_opening

router = resource("jobs")


@router.get("/jobs", response_model=list[views.Job], responses=refuses(400))
async def list_jobs(
    request: Request, here: Here, limit: Limit = None, after: After = None
) -> Response:
    """List all openings, oldest first."""
    return listed(request, await here.views.jobs(limit=limit, after=after))


@router.post("/jobs", status_code=201, response_model=views.Job, responses=refuses(409, 422))
async def open_job(body: NewJobBody, here: Here, by: Acting) -> Response:
    """Open an opening."""
    await here.scoring.check_pipeline(body.pipeline)
    job = await here.acts.open(new_opening(body), by)
    return answer(job, 201, {"location": f"/api/jobs/{job.id}"})


@router.get("/jobs/{jobId}", response_model=views.JobDetail, responses=refuses(400, 404))
async def get_job(
    request: Request, job_id: JobId, here: Here, limit: Limit = None, after: After = None
) -> Response:
    """Show an opening with those who have places and those who wait."""
    found = await here.views.job(job_id, limit=limit, after=after)
    return linked(request, found.view, following=found.next)


@router.patch("/jobs/{jobId}", response_model=views.Job, responses=refuses(404, 409, 422))
async def change_job(job_id: JobId, body: JobChanges, here: Here, by: Acting) -> Response:
    """Change what is named; a stale version is refused."""
    await here.scoring.check_pipeline(body.pipeline)
    return answer(await here.acts.change(job_id, changes_of(body), by, body.version))


async def _change_state(
    job_id: OpeningId, change: StateChange, body: StateBody | None, here: Here, by: Acting
) -> Response:
    reason = None if body is None else body.reason
    return answer(await here.acts.change_state(job_id, change, by, reason))


@router.post("/jobs/{jobId}/close", response_model=views.Job, responses=refuses(404, 409, 422))
async def close_job(
    job_id: JobId, here: Here, by: Acting, body: StateBody | None = None
) -> Response:
    """Take no more applications; the line still moves."""
    return await _change_state(job_id, "close", body, here, by)


@router.post("/jobs/{jobId}/reopen", response_model=views.Job, responses=refuses(404, 409, 422))
async def reopen_job(
    job_id: JobId, here: Here, by: Acting, body: StateBody | None = None
) -> Response:
    """Take applications again."""
    return await _change_state(job_id, "reopen", body, here, by)


@router.post("/jobs/{jobId}/end", response_model=views.Job, responses=refuses(404, 409, 422))
async def end_job(job_id: JobId, here: Here, by: Acting, body: StateBody | None = None) -> Response:
    """End an opening: only who is ACTIVE stays."""
    return await _change_state(job_id, "end", body, here, by)
