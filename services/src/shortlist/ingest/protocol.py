"""HTTP as uvicorn speaks it, with the bounds that it does not have.

uvicorn waits for ever for the rest of a request, and takes heads of any size and any number of
connections. Here a request has a deadline, a head has a size, and the process a number of
connections; what is refused on this level is refused in the one error shape.
And here plain requests leave the way to the app: see `hot`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from shortlist.http import http1
from shortlist.http.errors import CODES, RETRY_AFTER_UNAVAILABLE_SECONDS, error_body
from shortlist.telemetry import REFUSED

if TYPE_CHECKING:
    from collections.abc import Collection

    from shortlist.ingest.hot import HotPost

HEAD_LIMIT_BYTES = 32_768
"""Of request line and headers together; twice the usual limit of proxies."""

MESSAGE_LIMIT_BYTES = 16_777_216
"""Of a whole request. A body over the limit is answered 413 and read on and thrown away, because a
client that is cut off while it still sends never sees the answer; but not for ever."""

_LINGER_SECONDS = 2.0
"""How long a client that was refused may go on sending before the connection is closed."""

_EXPIRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process puts up with."""

    request_seconds: float
    connections: int


class _HeadTooLargeError(Exception):
    """Leaves the parser from inside one of its callbacks."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Somebody must call `expire` now and then, as `expire_overdue` does."""

    def __init__(self, bounds: Bounds, hot: HotPost | None, **arguments: Any) -> None:
        """``hot`` is offered plain requests before the app is; ``arguments`` are uvicorn's."""
        super().__init__(**arguments)
        self._bounds = bounds
        self._hot = hot
        self._held: bytearray | None = None  # what came of a plain request's body: the app waits
        self._one_too_many = False
        self._in_head = False
        self._in_message = False
        self._in_pieces = False  # the request did not come in one chunk
        self._chunk_bytes = 0
        self._message_bytes = 0  # without the chunk in which the message began
        self._awaited_since: float | None = time.monotonic()
        self._hung_up_at: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it. One too many is told so when it asks for something."""
        super().connection_made(transport)
        self._one_too_many = len(self.connections) > self._bounds.connections

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and watch what it leaves unfinished."""
        if self._hung_up_at is not None:
            return
        if self._one_too_many:
            self._refuse(503, "There are too many connections.")
            return
        self._unset_keepalive_if_required()
        self._chunk_bytes = len(data)
        self._message_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse_unparsed()
        else:
            self._watch()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = self._in_message = True
        self._in_pieces = False
        self._message_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is whole, and the request can be answered."""
        http1.check_head(self.parser, self.headers)
        may_be_large = self._in_pieces or self._chunk_bytes > HEAD_LIMIT_BYTES
        if may_be_large and self._head_bytes() > HEAD_LIMIT_BYTES:
            raise _HeadTooLargeError
        if not self._to_upgrade:
            if self._hot is not None and self._hot.is_plain(self):
                self._held = bytearray()
            else:
                self._begin()
            self._in_head = False

    def _begin(self) -> None:
        """The app gets the request whose head has just arrived; raises when the URL is none."""
        super().on_headers_complete()
        http1.answer_as_asked(self.cycle, self.parser)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        if self._held is None:
            super().on_body(body)
        else:
            self._held += body

    def on_message_complete(self) -> None:
        """A request is whole."""
        if not self._to_upgrade:
            self._in_message = False
            if not self._is_hot():
                super().on_message_complete()

    def _is_hot(self) -> bool:
        if self._hot is None or self._held is None:
            return False
        cycle = self._hot.take(self, self._held)
        if cycle is None:
            self._let_go()
            return False
        self.cycle, self._held = cycle, None
        return True

    def _let_go(self) -> None:
        """What is held goes to the app, as if it came only now."""
        if self._held is not None:
            body, self._held = self._held, None
            self._begin()
            super().on_body(bytes(body))

    def shutdown(self) -> None:
        """Close, after the answer to a request that has begun to arrive."""
        self._let_go()
        super().shutdown()

    def expire(self, now: float) -> None:
        """Give up a request that does not arrive. ``now`` is monotonic."""
        if self._hung_up_at is not None:
            if now - self._hung_up_at >= _LINGER_SECONDS:
                self.transport.close()
            return
        since = self._awaited_since
        if since is None or now - since < self._bounds.request_seconds:
            return
        if not self._in_message:
            self.transport.close()  # nothing was asked
        elif not (self._in_head and self._answering):
            self._refuse(408, "The request did not arrive in time.")

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _to_upgrade(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _decline_upgrade(self, rest: bytes) -> None:
        """Answer as if no other protocol had been offered, and hang up.

        The parser has skipped the body, which Java's client, for one, sends with the offer (RFC
        9110, 7.8). So another parser gets the request again, without the offer.
        """
        if not self._to_upgrade:  # CONNECT
            self.cycle.keep_alive = False
            return
        version = self.parser.get_http_version().encode()
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)
        lines = [line, b"connection: close"]
        lines += [b"%b: %b" % header for header in self.headers if header[0] not in _OFFER]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    def _watch(self) -> None:
        if not self._in_message:
            # Answered already, when it was refused early: then uvicorn has no timer any more.
            self._awaited_since = None if self._answering else time.monotonic()
            return
        self._in_pieces = True
        if self._awaited_since is None:
            self._awaited_since = time.monotonic()
        if self._in_head and max(self._message_bytes, self._head_bytes()) > HEAD_LIMIT_BYTES:
            self._refuse(431, _HEAD_TOO_LARGE)
        elif self._message_bytes > MESSAGE_LIMIT_BYTES:
            self._refuse(413, "The request is too long.")

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _refuse_unparsed(self) -> None:
        if self._in_head and self._head_bytes() > HEAD_LIMIT_BYTES:
            self._refuse(431, _HEAD_TOO_LARGE)
        else:
            self._refuse(400, "This is not HTTP.")

    def _refuse(self, status: int, message: str) -> None:
        """Answer for the app, unless it has begun to, and hang up."""
        if self.transport.is_closing() or self._hung_up_at is not None:
            return
        REFUSED.labels("protocol").inc()
        self._let_go()
        in_body = self._in_message and not self._in_head
        if self._answering and not in_body:
            self.cycle.keep_alive = False  # it came behind a request that is in order
            self.flow.pause_reading()
            return
        if not in_body:
            self._write(status, message)
        elif not self.cycle.response_started and not self.pipeline:
            self._write(status, message)
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        else:
            self.transport.close()
            return
        self._hang_up()

    def _hang_up(self) -> None:
        """Say that nothing more comes, and read on for a while what the client still sends.

        A connection that is closed while data arrives is reset, and the reset may destroy the
        answer before the client has read it (RFC 9112, 9.6).
        """
        if self._one_too_many:  # its little request was read; and it shall not stay
            self.transport.close()
            return
        self._hung_up_at = time.monotonic()
        self.transport.write_eof()

    def _write(self, status: int, message: str) -> None:
        code = CODES[status]
        body = error_body(message, code)
        lines = [
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"connection: close",
        ]
        if code == "UNAVAILABLE":
            lines.append(b"retry-after: %d" % RETRY_AFTER_UNAVAILABLE_SECONDS)
        self.transport.write(STATUS_LINE[status] + b"\r\n".join([*lines, b"", body]))


_OFFER = frozenset({b"connection", b"upgrade", b"http2-settings"})
_HEAD_TOO_LARGE = "The request's head is too large."


async def expire_overdue(connections: Collection[Any]) -> None:
    """Look after all connections of a server, for ever."""
    while True:
        await asyncio.sleep(_EXPIRY_SECONDS)
        now = time.monotonic()
        for connection in list(connections):
            connection.expire(now)
