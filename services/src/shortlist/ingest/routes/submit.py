"""``POST /applications`` and ``POST /job``: check, take a place in the line, commit, answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId, NewApplication
from shortlist.http.errors import ApiError
from shortlist.ingest import schemas
from shortlist.ingest.admission.line_capacity import LineFullError
from shortlist.ingest.endpoint import Answer
from shortlist.storage.postgres.queries.applications import Accepted, KeyReused, Repeated
from shortlist.telemetry import traces
from shortlist.telemetry.metrics import REFUSED

if TYPE_CHECKING:
    from shortlist.ingest.admission.line_capacity import LineCapacity, Place
    from shortlist.ingest.admission.line_registry import LineRegistry
    from shortlist.ingest.endpoint import Call
    from shortlist.ingest.group_commit import GroupCommit


class Submissions:
    """Takes applications and jobs, which differ in names; a job's candidate is anonymous."""

    def __init__(
        self, group_commit: GroupCommit, lines: LineRegistry, *, body_limit_bytes: int
    ) -> None:
        """``body_limit_bytes``: a longer body gets 413."""
        self._group_commit = group_commit
        self._lines = lines
        self._body_limit_bytes = body_limit_bytes
        self._applications = msgspec.json.Decoder(schemas.ApplicationBody)
        self._jobs = msgspec.json.Decoder(schemas.JobBody)

    async def post_application(self, call: Call) -> Answer:
        """Answer 202 with the id and where to look; the same id for the same idempotency key."""
        body = await self._body(call, self._applications)
        line = await self._line(call, body.pipeline)
        accepted = await self._accept(call, line, body.candidate, body.payload)
        return accepted_answer(accepted)

    async def post_job(self, call: Call) -> Answer:
        """Answer 202 with the id."""
        body = await self._body(call, self._jobs)
        line = await self._line(call, DEFAULT_PIPELINE)
        accepted = await self._accept(call, line, None, body.payload)
        return Answer(202, b'{"id":"%b"}' % str(accepted).encode())

    async def _body(self, call: Call, decoder: msgspec.json.Decoder[schemas.Body]) -> schemas.Body:
        if (line := self._lines.known(DEFAULT_PIPELINE)) is not None:
            call.quotas["line"] = line.quota  # a refusal shows its room
        try:
            raw = await call.body(self._body_limit_bytes)
            await self._line(call, DEFAULT_PIPELINE)
            return schemas.decode(decoder, raw)
        except ApiError:
            REFUSED.labels("invalid").inc()
            raise

    async def _line(self, call: Call, pipeline: str) -> LineCapacity:
        line = self._lines.known(pipeline) or await self._lines.find(pipeline, call.since)
        call.quotas["line"] = line.quota
        return line

    async def _accept(
        self, call: Call, line: LineCapacity, candidate: str | None, payload: str
    ) -> ApplicationId:
        key = schemas.idempotency_key(call.headers)
        body_hash = None if key is None else schemas.meaning_hash(line.pipeline, candidate, payload)
        application_id = self._lines.ids.next()
        with _place(line, application_id) as place:
            with traces.send_span(line.pipeline, application_id):
                new = NewApplication(
                    application_id,
                    line.pipeline,
                    candidate,
                    payload,
                    traces.current_traceparent(),
                    key,
                    body_hash,
                )
                outcome = await self._group_commit.accept(new, call.since)
            if isinstance(outcome, Accepted):
                place.keep()  # until the publisher has published it
                return outcome.id
        if isinstance(outcome, Repeated):
            return outcome.id
        raise schemas.key_reused() if isinstance(outcome, KeyReused) else schemas.key_contended()


def _place(line: LineCapacity, application_id: ApplicationId) -> Place:
    try:
        return line.place(application_id)
    except LineFullError:
        REFUSED.labels("line_full").inc()
        raise


def accepted_answer(application_id: ApplicationId) -> Answer:
    """Make the answer 202 with the id and where to look."""
    encoded = str(application_id).encode()
    return Answer(
        202,
        b'{"id":"%b","status":"pending"}' % encoded,
        ((b"location", b"/applications/%b" % encoded),),
    )
