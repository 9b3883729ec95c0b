"""Reads: one application, many, the leaderboard, and the job server's view of a job."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId, Status
from shortlist.http.errors import invalid, not_found
from shortlist.ingest.endpoint import NO_STORE, Answer, query
from shortlist.ingest.schemas import ApplicationStatus, JobStatus, Ranked

if TYPE_CHECKING:
    from shortlist.domain.line.application import ApplicationView
    from shortlist.ingest.admission.line_registry import LineRegistry
    from shortlist.ingest.endpoint import Call
    from shortlist.ingest.routes.application_reader import ApplicationReader

IDS_LIMIT = 200
LEADERBOARD_LIMIT = 1000
LEADERBOARD_DEFAULT = 50

_UUID_CHARACTERS = 36
_HEAD_STATUS: dict[Status, int] = {"pending": 202, "scoring": 202, "scored": 200, "failed": 410}
_JOB_STATUS: dict[Status, tuple[int, str]] = {
    "pending": (425, "PENDING"),
    "scoring": (425, "PROCESSING"),
    "scored": (200, "COMPLETED"),
    # The contract knows no failure, and its client polls until all are complete.
    "failed": (200, "COMPLETED"),
}
_NO_APPLICATION = "There is no such application."


class Statuses:
    """Answers what clients ask about applications. 503 when Postgres does not answer."""

    def __init__(self, reader: ApplicationReader, lines: LineRegistry) -> None:
        """``lines`` knows which pipelines there are."""
        self._reader = reader
        self._lines = lines
        self._encode = msgspec.json.Encoder().encode

    async def view(self, call: Call, text: str) -> ApplicationView:
        """Read the application of an id; 404 when there is none."""
        application_id = parse_id(text)
        if application_id is None:
            raise not_found(_NO_APPLICATION)
        view = await self._reader.view(application_id, call.since)
        if view is None:
            raise not_found(_NO_APPLICATION)
        return view

    async def get(self, call: Call) -> Answer:
        """Answer ``GET /applications/{id}``."""
        view = await self.view(call, _last_segment(call))
        return Answer(200, self._encode(ApplicationStatus.of(view)), (NO_STORE,))

    async def head(self, call: Call) -> Answer:
        """Answer ``HEAD /applications/{id}`` by a status code alone."""
        view = await self.view(call, _last_segment(call))
        return Answer(_HEAD_STATUS[view.status], headers=(NO_STORE,))

    async def get_job(self, call: Call) -> Answer:
        """Answer ``GET /status/{id}``: 425 until it is done."""
        text = _last_segment(call)
        status, name = _JOB_STATUS[(await self.view(call, text)).status]
        return Answer(status, self._encode(JobStatus(text, name)), (NO_STORE,))

    async def get_many(self, call: Call) -> Answer:
        """Answer ``GET /applications?ids=`` in the order asked, without those that are unknown."""
        ids = _ids(call)
        views = await asyncio.gather(*(self._reader.view(one, call.since) for one in ids))
        found = [ApplicationStatus.of(view) for view in views if view is not None]
        return Answer(200, self._encode(found), (NO_STORE,))

    async def leaderboard(self, call: Call) -> Answer:
        """Answer ``GET /leaderboard``: best first, ties by who was accepted first."""
        parameters = query(call)
        limit = _limit(parameters.get("limit", [str(LEADERBOARD_DEFAULT)]))
        pipeline = parameters.get("pipeline", [DEFAULT_PIPELINE])[-1]
        line = await self._lines.find(pipeline, call.since)
        ranked = await self._reader.leaderboard(line.pipeline, limit, call.since)
        body = [Ranked(r.id, r.candidate, r.score, r.accepted_at, r.finished_at) for r in ranked]
        return Answer(200, self._encode(body), (NO_STORE,))


def parse_id(text: str) -> ApplicationId | None:
    """Parse an id in its usual form; None for anything else, which therefore names nothing."""
    if len(text) != _UUID_CHARACTERS:
        return None
    try:
        return ApplicationId(UUID(text))
    except ValueError:
        return None


def _last_segment(call: Call) -> str:
    path: str = call.scope["path"]
    return path.rpartition("/")[2]


def _ids(call: Call) -> list[ApplicationId]:
    texts = [text for value in query(call).get("ids", []) for text in value.split(",")]
    if not 1 <= len(texts) <= IDS_LIMIT:
        raise invalid(f"Name 1 to {IDS_LIMIT} ids, separated by commas.", "ids")
    ids = [parse_id(text) for text in texts]
    if None in ids:
        raise invalid("An id is a UUID.", "ids")
    return [one for one in dict.fromkeys(ids) if one is not None]


def _limit(values: list[str]) -> int:
    text = values[-1]
    limit = int(text) if text.isascii() and text.isdigit() and len(text) <= len("1000") else 0
    if not 1 <= limit <= LEADERBOARD_LIMIT:
        raise invalid(f"limit is 1 to {LEADERBOARD_LIMIT}.", "limit")
    return limit
