"""Whole lists in and out: an opening's files."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal, TypeVar

from fastapi import Query, Request, Response
from starlette.responses import StreamingResponse

from shortlist.hiring import views
from shortlist.hiring.reading import What
from shortlist.http.errors import ApiError
from shortlist.ingest.api.answers import answer
from shortlist.ingest.api.callers import Acting, Here
from shortlist.ingest.api.document import refuses
from shortlist.ingest.api.imports import apply_all, check_all
from shortlist.ingest.api.route import resource
from shortlist.ingest.api.schemas import rows
from shortlist.ingest.api.schemas.parameters import JobId
from shortlist.ingest.endpoint import Call

router = resource("files")

RowView = TypeVar("RowView", bound=views.View)

IMPORT_LIMIT_BYTES = 2_097_152
_CSV = "text/csv"
_JSONL = "application/jsonl"
_TYPES = {"csv": _CSV, "jsonl": _JSONL}
_FILE = {"schema": {"type": "string"}}
_FILES = {
    "description": "The file.",
    "content": {_CSV: _FILE, _JSONL: _FILE},
    "headers": {"Content-Disposition": {"schema": {"type": "string"}}},
}
_SENT = {
    "requestBody": {
        "required": True,
        "content": {
            _CSV: {"schema": {"type": "string", "description": "With the columns name and email."}},
            _JSONL: {"schema": {"type": "string", "description": "An object in each line."}},
        },
    }
}


@router.post(
    "/jobs/{jobId}/import",
    response_model=rows.ImportResult,
    responses=refuses(400, 404, 422),
    openapi_extra=_SENT,
)
async def import_rows(
    request: Request,
    job_id: JobId,
    here: Here,
    by: Acting,
    dry_run: Annotated[Literal["true", "false"], Query(alias="dryRun")] = "false",
) -> Response:
    """Have each person of a file apply; a result for each row.

    With an Idempotency-Key a file that was interrupted can be sent again: each row is done once.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _TYPES.values():
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", f"Send {_CSV} or {_JSONL}.")
    body = await Call(request.scope, request.receive).body(IMPORT_LIMIT_BYTES)
    found = rows.rows_of(body, kind)
    job = await here.views.opening(job_id)
    is_dry = dry_run == "true"
    results = await (check_all(here, job, found) if is_dry else apply_all(here, job_id, found, by))
    refused = sum(one.outcome == "refused" for one in results)
    applied = sum(one.outcome == "applied" for one in results)
    return answer(
        rows.ImportResult(dry_run=is_dry, applied=applied, refused=refused, results=results)
    )


@router.get(
    "/jobs/{jobId}/export",
    response_class=StreamingResponse,
    responses={200: _FILES, **refuses(400, 404)},
)
async def export_rows(
    job_id: JobId,
    here: Here,
    what: Annotated[What | Literal["events"], Query()],
    format_: Annotated[Literal["csv", "jsonl"], Query(alias="format")],
) -> Response:
    """Return who has places, who waits, or the audit, as a file."""
    is_csv = format_ == "csv"
    if what == "events":
        audit = await here.views.export_events(job_id)
        lines = _lines(audit, views.AuditEvent, is_csv=is_csv)
    else:
        entries = await here.views.export(job_id, what)
        lines = _lines(entries, views.ListedEntry, is_csv=is_csv)
    name = f"job-{job_id}-{what}.{format_}"
    headers = {
        "content-disposition": f'attachment; filename="{name}"',
        "cache-control": "no-store",
    }
    return StreamingResponse(lines, 200, headers, _TYPES[format_])


async def _lines(
    parts: AsyncIterator[list[RowView]], row: type[RowView], *, is_csv: bool
) -> AsyncIterator[bytes]:
    if is_csv:
        yield rows.csv_head(row)
    async for part in parts:
        yield rows.csv_lines(part) if is_csv else rows.json_lines(part)
