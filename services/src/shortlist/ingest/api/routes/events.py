"""``GET /events``: live events as server-sent events (WHATWG HTML, 9.2)."""

from functools import partial
from typing import Annotated, Any

from fastapi import Header, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from shortlist.http.errors import invalid, unavailable
from shortlist.ingest.api.access import while_admitted
from shortlist.ingest.api.callers import Here, Parts
from shortlist.ingest.api.document import refuses
from shortlist.ingest.api.event_feed import Topic
from shortlist.ingest.api.route import resource
from shortlist.ingest.api.schemas import fields

router = resource("events")

_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}

_DESCRIBED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The stream: each event as `data`, with its number as `id`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    **refuses(400, 404),
}


class _Stream(StreamingResponse):
    """Counts itself as ended when it ends, however that comes."""

    end = staticmethod(lambda: None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.end()


@router.get("/events", response_class=StreamingResponse, responses=_DESCRIBED)
async def follow(
    request: Request,
    here: Here,
    job_id: Annotated[fields.PathId | None, Query(alias="jobId")] = None,
    applicant_id: Annotated[fields.PathId | None, Query(alias="applicantId")] = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """Follow an opening, or all applications of an applicant.

    A client that comes back with the id of the last event it got is told all that came after it;
    one that comes for the first time, what happens from now on.
    """
    topic = await _topic(here, job_id, applicant_id)
    newest = await here.feed.newest(topic)
    known = last_event_id or ""
    after = min(int(known), newest) if known.isascii() and known.isdigit() else newest
    table = here.connections
    watchers = table.begin_stream(request.client and request.client.host)
    if watchers is None:
        raise unavailable("Too many clients watch. Poll instead.")
    told = while_admitted(request, here.feed.stream(topic, after))
    stream = _Stream(told, 200, _HEADERS, "text/event-stream")
    stream.end = partial(table.end_stream, watchers)
    return stream


async def _topic(here: Parts, job_id: int | None, applicant_id: int | None) -> Topic:
    """Return what is to be followed: one thing, and one that is there."""
    if job_id is not None and applicant_id is None:
        await here.views.opening(job_id)
        return Topic("opening", job_id)
    if applicant_id is not None and job_id is None:
        await here.views.applicant(applicant_id)
        return Topic("applicant", applicant_id)
    raise invalid("Name a jobId or an applicantId, and not both.", "jobId")
