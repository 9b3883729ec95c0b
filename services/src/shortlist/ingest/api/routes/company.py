"""What a company does by hand, and the lists that it looks at."""

from typing import Annotated

from fastapi import Query, Request, Response

from shortlist.hiring import views
from shortlist.hiring.requests import ActionRequest
from shortlist.ingest.api.answers import answer, linked
from shortlist.ingest.api.callers import Acting, Here
from shortlist.ingest.api.document import refuses
from shortlist.ingest.api.route import resource
from shortlist.ingest.api.schemas.bodies import ActionBody
from shortlist.ingest.api.schemas.parameters import ActionId, EntriesQuery, JobId

router = resource("company")


@router.post(
    "/jobs/{jobId}/actions", response_model=views.ActionResult, responses=refuses(404, 409, 422)
)
async def act(job_id: JobId, body: ActionBody, here: Here, by: Acting) -> Response:
    """Promote, remove, move or reinstate up to 1 000 applications at once, with a reason."""
    action = ActionRequest(
        action=body.action,
        application_ids=tuple(body.application_ids),
        position=body.position,
        reason=body.reason,
        notify=body.notify,
        dry_run=body.dry_run,
    )
    return answer(await here.acts.act(job_id, action, by))


@router.post(
    "/actions/{actionId}/undo",
    response_model=views.ActionResult,
    responses=refuses(400, 404, 409, 410, 422),
)
async def undo(action_id: ActionId, here: Here, by: Acting) -> Response:
    """Take an action back, within 15 minutes."""
    return answer(await here.acts.undo(action_id, by))


@router.get("/jobs/{jobId}/entries", response_model=views.EntryPage, responses=refuses(400, 404))
async def list_entries(
    request: Request, job_id: JobId, here: Here, query: Annotated[EntriesQuery, Query()]
) -> Response:
    """List applications that match, a page at a time."""
    found = await here.views.entries(
        job_id,
        statuses=query.status,
        search=query.q,
        min_score=query.min_score,
        sort=query.sort,
        limit=query.limit,
        after=query.after,
    )
    return linked(request, found, total=found.total, following=found.next)
