"""The fast path: a plain ``POST /applications``, answered without the framework.

A request's task, its scope and the messages to and fro are a third of what an accept costs. So the
protocol keeps a plain request from the app until its body is whole, and then offers it here.
Nothing is refused here: a request with anything unusual goes the ordinary way, as if it had not
been offered, and so each rule and each refusal has one place.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from shortlist.domain.line.application import ApplicationId, NewApplication
from shortlist.http import local
from shortlist.http.errors import ApiError
from shortlist.ingest import endpoint, schemas
from shortlist.ingest.admission.line_capacity import LineFullError
from shortlist.ingest.routes.submit import accepted_answer

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from shortlist.ingest.admission.line_capacity import LineCapacity, Place
    from shortlist.ingest.admission.line_registry import LineRegistry
    from shortlist.ingest.admission.quota import Quota
    from shortlist.ingest.endpoint import Answer, Headers
    from shortlist.ingest.group_commit import GroupCommit
    from shortlist.storage.postgres.queries.applications import AcceptOutcome

_ROUTE = "/applications"
_URL = _ROUTE.encode()
_UNUSUAL = local.TELLS_OF_A_BROWSER | {
    b"idempotency-key",
    b"content-encoding",
    b"transfer-encoding",
    b"expect",
}
_ACCEPTED = accepted_answer(ApplicationId(UUID(int=0)))
_ANY_ID = str(UUID(int=0)).encode()
"""Stands in `_ACCEPTED` for the one that was accepted."""


class FastPost:
    """Takes ``POST /applications`` where no client's rate is limited and no trace is recorded."""

    def __init__(
        self,
        group_commit: GroupCommit,
        lines: LineRegistry,
        names: local.LocalNames,
        *,
        body_limit_bytes: int,
    ) -> None:
        """Take no body over ``body_limit_bytes``, and no Host other than ``names``."""
        self._names = names
        self._group_commit = group_commit
        self._lines = lines
        self._body_limit_bytes = body_limit_bytes
        self._decoder = msgspec.json.Decoder(schemas.ApplicationBody)

    def is_plain(self, protocol: HttpToolsProtocol) -> bool:
        """Tell whether the request whose head has just arrived may take the fast path."""
        if protocol.url != _URL or protocol.parser.get_method() != b"POST":
            return False
        headers = dict(protocol.headers)
        return (
            0 < int(headers.get(b"content-length", 0)) <= self._body_limit_bytes
            and _UNUSUAL.isdisjoint(headers)
            and protocol.parser.get_http_version() == "1.1"
            and protocol.parser.should_keep_alive()
            and self._is_for_us(protocol, headers)
            and not protocol.flow.write_paused  # the client reads its answers
            and (protocol.cycle is None or protocol.cycle.response_complete)  # and waits for them
        )

    def _is_for_us(self, protocol: HttpToolsProtocol, headers: dict[bytes, bytes]) -> bool:
        """Tell whether the Host is in order where it is looked at (`local.LocalOnly`)."""
        return (
            protocol.server is None
            or not local.is_loopback_name(protocol.server[0])
            or self._names.is_ours(headers.get(b"host", b""))
        )

    def take(self, protocol: HttpToolsProtocol, raw: bytearray) -> FastCycle | None:
        """Take a plain request with its whole body; None: it goes the ordinary way."""
        try:
            body = schemas.decode(self._decoder, raw)
        except ApiError:
            return None
        line = self._lines.known(body.pipeline)
        if line is None or self._group_commit.is_full:
            return None
        application_id = self._lines.ids.next()
        try:
            place = line.place(application_id)
        except LineFullError:
            return None
        with place:
            committed = self._group_commit.accept(
                NewApplication(application_id, line.pipeline, body.candidate, body.payload)
            )
            place.keep()
        cycle = FastCycle(protocol, line, place, application_id)
        committed.add_done_callback(cycle.finish)
        return cycle


class FastCycle(RequestResponseCycle):
    """A request that waits for its commit: what uvicorn asks of such a one, and its answer."""

    message_event = asyncio.Event()  # a whole request has no more to wait for

    def __init__(
        self,
        protocol: HttpToolsProtocol,
        line: LineCapacity,
        place: Place,
        application_id: ApplicationId,
    ) -> None:
        """``place``: the application's, in ``line``."""
        self._protocol = protocol
        self._line = line
        self._place = place
        self._application_id = application_id
        self.keep_alive = True
        self.disconnected = self.response_started = self.response_complete = False

    def finish(self, committed: asyncio.Future[AcceptOutcome]) -> None:
        """Answer, after the commit or when it failed."""
        error = asyncio.CancelledError() if committed.cancelled() else committed.exception()
        if error is None:
            self._answer(_ACCEPTED)
            return
        self._place.leave()
        if isinstance(error, Exception):  # else: stopped at once
            self._answer(endpoint.refusal(error, _ROUTE))

    def _answer(self, answer: Answer) -> None:
        """Send both messages of an answer, as `send` does, in one write."""
        if self.disconnected:
            return
        protocol = self._protocol
        date = protocol.server_state.default_headers
        raw = _raw(answer, self._line.quota(), tuple(date), keep_alive=self.keep_alive)
        protocol.transport.write(raw.replace(_ANY_ID, str(self._application_id).encode()))
        self.response_started = self.response_complete = True
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


@lru_cache(maxsize=16)
def _raw(answer: Answer, quota: Quota, date: Headers, *, keep_alive: bool) -> bytes:
    """Encode an answer as it goes over the wire; cached: those of a group differ in their ids."""
    headers = [*date, *endpoint.headers(answer, quota)]
    if not keep_alive:  # the process drains
        headers.append((b"connection", b"close"))
    head = b"".join([b"%b: %b\r\n" % header for header in headers])
    return b"%b%b\r\n%b" % (STATUS_LINE[answer.status], head, answer.body)
