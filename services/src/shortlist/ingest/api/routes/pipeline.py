"""An opening's line, its numbers, its past, and whether its audit is whole."""

from fastapi import Request, Response

from shortlist.hiring import views
from shortlist.ingest.api.answers import answer, linked
from shortlist.ingest.api.callers import Here
from shortlist.ingest.api.document import refuses
from shortlist.ingest.api.route import resource
from shortlist.ingest.api.schemas.parameters import After, AsOf, AtSequence, JobId, Limit

router = resource("pipeline")


@router.get("/queue/{jobId}", response_model=views.QueueView, responses=refuses(400, 404))
async def get_queue(
    request: Request, job_id: JobId, here: Here, limit: Limit = None, after: After = None
) -> Response:
    """Show who waits, by position."""
    found = await here.views.queue(job_id, limit=limit, after=after)
    return linked(request, found.view, following=found.next)


@router.get("/pipeline/{jobId}/summary", response_model=views.Summary, responses=refuses(400, 404))
async def get_summary(job_id: JobId, here: Here) -> Response:
    """Show an opening in numbers."""
    return answer(await here.views.summary(job_id))


@router.get(
    "/pipeline/{jobId}/replay", response_model=views.ReplayView, responses=refuses(400, 404)
)
async def replay(
    request: Request,
    job_id: JobId,
    here: Here,
    as_of: AsOf = None,
    seq: AtSequence = None,
    limit: Limit = None,
    after: After = None,
) -> Response:
    """Show an opening as it was at a moment, or after an event."""
    found = await here.views.replay(job_id, as_of=as_of, sequence=seq, limit=limit, after=after)
    return linked(request, found.view, following=found.next)


@router.get(
    "/pipeline/{jobId}/verify", response_model=views.Verification, responses=refuses(400, 404)
)
async def verify(job_id: JobId, here: Here) -> Response:
    """Check the audit: every event, and how each is chained to the one before."""
    return answer(await here.views.verify(job_id))
