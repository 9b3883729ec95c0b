"""HTTP as uvicorn speaks it, with the bounds that it does not have.

uvicorn waits for ever for the rest of a request, and takes heads, trailers and queues of any size
and any number of connections. Here a request has a deadline, each part of it a size, what waits
behind an answer a length, and the process a number of connections and a budget of bytes
(`connections`, `budget`); what is refused on this level is refused in the one error shape. A
request in order is answered, whatever follows it.

And here plain requests leave the way to the app: see `shortlist.ingest.fast_path`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from shortlist.http import http1
from shortlist.http.budget import (
    CONNECTION_BYTES,
    FIELD_BYTES,
    QUEUED_BYTES,
    RUNNING_BYTES,
    SOCKET_BYTES,
)
from shortlist.http.errors import CODES, RETRY_AFTER_UNAVAILABLE_SECONDS, error_body
from shortlist.telemetry.metrics import REFUSED

if TYPE_CHECKING:
    import asyncio

    from shortlist.http.connections import ConnectionRecord, ConnectionTable, Order

HEAD_LIMIT_BYTES = 32_768
"""Of request line and headers together, as sent; twice the usual limit of proxies."""

FIELD_LIMIT = 100
"""Of a head's fields, and of a trailer's. Apache's default; a browser sends twenty."""

MESSAGE_LIMIT_BYTES = 16_777_216
"""Of a whole request. A body over the limit is answered 413 and read on and thrown away, because a
client that is cut off while it still sends never sees the answer; but not for ever."""

QUEUE_LIMIT = 32
"""Requests that wait behind one that is being answered. What comes behind them is not read: they
are answered, and the connection ends (RFC 9112, 9.3.2: a client must be able to send it again)."""

_SEPARATORS_BYTES = 4
"""Of a field: colon, space, CR, LF."""


class FastPath(Protocol):
    """Answers plain requests without the app."""

    def is_plain(self, protocol: HttpToolsProtocol) -> bool:
        """Tell whether the request whose head has just arrived may take the fast path."""

    def take(self, protocol: HttpToolsProtocol, raw: bytearray) -> RequestResponseCycle | None:
        """Take a plain request with its whole body; None: it goes the ordinary way."""


class _RefusedError(Exception):
    """Leaves the parser from inside one of its callbacks, which has refused already."""


class BoundedProtocol(HttpToolsProtocol):
    """Serves one connection, within the bounds of its listener's table."""

    record: ConnectionRecord

    def __init__(
        self, connections: ConnectionTable, fast_path: FastPath | None, **arguments: Any
    ) -> None:
        """``fast_path`` is offered plain requests first; ``arguments`` are uvicorn's."""
        super().__init__(**arguments)
        self._table = connections
        self._fast_path = fast_path
        self._held: bytearray | None = None  # what came of a plain request's body: the app waits
        self._answered: RequestResponseCycle | None = None  # the one that is being answered
        self._is_one_too_many = False
        self._is_deaf = False  # what arrives is thrown away: answers are still to be given
        self._has_hung_up = False
        self._in_head = self._in_message = False
        self._has_begun = False  # a request has, in this chunk
        self._in_pieces = False  # the request did not come in one chunk
        self._chunk_bytes = 0  # of the last chunk, what was no body
        self._message_bytes = 0  # from the first chunk on that began with it or within it
        self._is_between = False  # the chunk began after a whole request, or none
        self._body_bytes = 0  # that came and are not yet answered
        self._dry_bytes = 0  # since the last piece of a body: fields of a trailer, sizes of chunks
        self._trailers = 0

    # --- what the transport says

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection. One too many gets an answer that says so when it asks."""
        super().connection_made(transport)
        admission = self._table.add(self, self.client[0] if self.client else None)
        self._is_one_too_many = admission == "refused"
        if admission == "closed":
            self._abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._table.remove(self)
        self._disconnect()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Note that the client does not read its answers."""
        super().pause_writing()
        self._settle()

    def resume_writing(self) -> None:
        """Note that the client reads again."""
        super().resume_writing()
        self._settle()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and watch what it leaves unfinished."""
        if self._has_hung_up or self.transport.is_closing():
            return
        if self._is_deaf:
            self.flow.pause_reading()
            return
        if self._is_one_too_many:
            self._refuse(503, "There are too many connections.")
            return
        self._chunk_bytes = len(data)
        self._message_bytes += len(data)
        self._dry_bytes += len(data)
        self._has_begun, self._is_between = False, not self._in_message
        self._parse(data)
        self._settle()

    def _parse(self, data: bytes) -> None:
        """Give the parser a chunk; what it does not understand is refused."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, _RefusedError):
                self._refuse_unparsed()
        except httptools.HttpParserError:
            self._refuse_unparsed()
        else:
            self._watch()

    # --- what the parser says

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_head = self._in_message = self._has_begun = True
        self._in_pieces = False
        self._message_bytes = self._chunk_bytes if self._is_between else 0
        self._is_between = False
        self._trailers = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of the head; one of a trailer is dropped (RFC 9110, 6.5.1)."""
        if not self._in_head:
            self._trailers += 1
            if self._trailers > FIELD_LIMIT:
                self._refuse_within(431, _TRAILER_TOO_LARGE)
        elif len(self.headers) >= FIELD_LIMIT:
            self._refuse_within(431, _HEAD_TOO_LARGE)
        else:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Have a request answered, whose head is whole."""
        http1.check_head(self.parser, self.headers)
        may_be_large = self._in_pieces or self._chunk_bytes > HEAD_LIMIT_BYTES
        if may_be_large and self._head_bytes() > HEAD_LIMIT_BYTES:
            self._refuse_within(431, _HEAD_TOO_LARGE)
        if self._to_upgrade:
            return
        if len(self.pipeline) >= QUEUE_LIMIT:
            self._stop_listening()
            raise _RefusedError
        if self._fast_path is not None and self._fast_path.is_plain(self):
            self._held = bytearray()
        else:
            self._begin()
        self._in_head = False
        self._dry_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Keep a piece of a body, or hand it to the app."""
        self._dry_bytes = 0
        self._chunk_bytes -= len(body)
        if self._held is None:
            self._body_bytes += len(body)
            super().on_body(body)
        else:
            self._held += body

    def on_message_complete(self) -> None:
        """Have a request answered, which is whole."""
        if not self._to_upgrade:
            self._in_message = False
            if not self._takes_fast_path():
                super().on_message_complete()

    def _begin(self) -> None:
        """Hand the app the request whose head has just arrived; raises when the URL is none."""
        waits = self._answering
        super().on_headers_complete()
        http1.answer_as_asked(self.cycle, self.parser)
        if not waits:
            self._answered, self._body_bytes = self.cycle, 0

    def _takes_fast_path(self) -> bool:
        if self._fast_path is None or self._held is None:
            return False
        cycle = self._fast_path.take(self, self._held)
        if cycle is None:
            self._let_go()
            return False
        self.cycle = self._answered = cycle
        self._held, self._body_bytes = None, 0
        return True

    def _let_go(self) -> None:
        """Hand the app what is held, as if it came only now."""
        if self._held is not None:
            body, self._held = self._held, None
            self._begin()
            self._body_bytes = len(body)
            super().on_body(bytes(body))

    # --- what the answers say

    def on_response_complete(self) -> None:
        """Go on with what waits behind it. No connection needs a timer: the table has one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._table.move(self, self._table.unread)  # until it has been read
            return
        if not self._is_deaf:
            self.flow.resume_reading()
        if self.pipeline:
            self._body_bytes = sum(len(cycle.body) for cycle, _ in self.pipeline)
            self._answered, app = self.pipeline.pop()
            self._start_asgi_task(self._answered, app)
        self._settle()

    def shutdown(self) -> None:
        """Close, after the answer to a request that has begun to arrive."""
        self._let_go()
        super().shutdown()

    # --- what the table says

    def overdue(self) -> None:
        """Give up a request that does not arrive, or answers that are not read."""
        if self.record.order is not self._table.slow:
            self.give_up()
        elif self._in_message and not (self._in_head and self._answering):
            self._refuse(408, "The request did not arrive in time.")

    def give_up(self) -> None:
        """End the connection: its place or its bytes are needed."""
        if self.record.order is self._table.slow and self._in_message and not self._answering_other:
            self._refuse(503, "There is too much to do. Yours was the slowest.")
            if self._has_hung_up:
                return
        is_cut_off = self._answering and not self._has_hung_up
        if is_cut_off or self.transport.get_write_buffer_size():
            self._abort()
        else:
            self._close()

    # --- what is unfinished

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _answering_other(self) -> bool:
        """Whether an answer is due to a request before the one that is arriving."""
        return self._answering and (self._in_head or self._answered is not self.cycle)

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
            return
        self._in_pieces = True
        if self._in_head:
            if max(self._message_bytes, self._head_bytes()) > HEAD_LIMIT_BYTES:
                self._refuse(431, _HEAD_TOO_LARGE)
        elif self._message_bytes > MESSAGE_LIMIT_BYTES:
            self._refuse(413, "The request is too long.")
        elif self._dry_bytes > HEAD_LIMIT_BYTES:
            self._refuse(431, _TRAILER_TOO_LARGE)

    def _settle(self) -> None:
        """Charge for what is held, and choose the order to wait in."""
        record = self.record
        held = self._held_bytes()
        if held != record.charged:
            has_grown = held > record.charged
            self._table.charge(self, held)
            if has_grown and self._table.budget.is_full:
                self._refuse_all()
        if self._has_hung_up or not record.is_open:
            return
        order = self._order()
        if order is not record.order or (self._has_begun and order is self._table.slow):
            self._table.move(self, order)

    def _order(self) -> Order | None:
        if self.flow.write_paused:
            return self._table.unread
        if self._in_message or self.pipeline:
            return self._table.slow
        if self.cycle is None:
            return self._table.silent
        return None if self._answering else self._table.idle

    def _held_bytes(self) -> int:
        """Count what this connection costs now, by the table of `budget`."""
        held = CONNECTION_BYTES
        if self._in_message:
            unread = self._message_bytes if self._in_head else self._dry_bytes
            held += max(unread, self._chunk_bytes) + FIELD_BYTES * len(self.headers)
            held += len(self._held or b"")
        if self._answering:
            held += self._answers_bytes()
        if self.flow.write_paused:
            held += SOCKET_BYTES + self.transport.get_write_buffer_size()
        return held

    def _answers_bytes(self) -> int:
        """Count those that are answered or wait; the group commit counts the fast path's."""
        running = self._answered
        held = self._body_bytes
        if type(running) is RequestResponseCycle:
            held += RUNNING_BYTES + FIELD_BYTES * len(list(running.scope["headers"]))
        for cycle, _ in self.pipeline:
            held += QUEUED_BYTES + FIELD_BYTES * len(list(cycle.scope["headers"]))
        if self.pipeline:
            held += SOCKET_BYTES
        return held

    # --- refusals

    def _head_bytes(self) -> int:
        fields = sum(len(name) + len(value) + _SEPARATORS_BYTES for name, value in self.headers)
        return len(self.url) + fields

    def _refuse_unparsed(self) -> None:
        if self._in_head and self._head_bytes() > HEAD_LIMIT_BYTES:
            self._refuse(431, _HEAD_TOO_LARGE)
        else:
            self._refuse(400, "This is not HTTP.")

    def _refuse_within(self, status: int, message: str) -> None:
        """Refuse from inside the parser."""
        self._refuse(status, message)
        raise _RefusedError

    def _refuse(self, status: int, message: str) -> None:
        """Answer the request that is arriving for the app, unless it has begun to, and hang up.

        What came before it is answered first, and then the connection ends without a word about it.
        """
        if self.transport.is_closing() or self._has_hung_up or self._is_deaf:
            return
        REFUSED.labels("protocol").inc()
        has_cycle = self._in_message and not self._in_head and self._held is None
        if self._answering_other:
            if has_cycle:
                self.pipeline.popleft()
            self._stop_listening()
        elif has_cycle and self.cycle.response_started:
            self._close()
        else:
            self._write(status, message)
            self._hang_up()

    def _refuse_all(self) -> None:
        """Refuse all that this connection asks for: nothing more may be begun."""
        if self._has_hung_up or self.transport.is_closing():
            return
        REFUSED.labels("overload").inc()
        begun = self._answered is not None and self._answered.response_started
        if self.flow.write_paused or (self._answering and begun):
            self._abort()
            return
        self._write(503, "There is too much to do.")
        self._hang_up()

    def _stop_listening(self) -> None:
        """Answer what has come so far, and then close."""
        last = self.pipeline[0][0] if self.pipeline else self._answered
        assert last is not None
        last.keep_alive = False
        self.cycle = last
        self._is_deaf, self._in_message, self._in_head, self._held = True, False, False, None
        self.flow.pause_reading()

    def _hang_up(self) -> None:
        """End the sending side, and read on for a while what the client still sends.

        A connection that is closed while data arrives is reset, and the reset may destroy the
        answer before the client has read it (RFC 9112, 9.6).
        """
        self._disconnect()
        if self._is_one_too_many:  # its little request was read; and it shall not stay
            self._close()
            return
        self._has_hung_up = True
        self._held, self.headers = None, []
        self.flow.resume_reading()
        self._table.charge(self, CONNECTION_BYTES)
        self._table.move(self, self._table.leaving)
        self.transport.write_eof()

    def _disconnect(self) -> None:
        """Give up what is being answered, or waits for that."""
        waiting = [cycle for cycle, _ in self.pipeline]
        self.pipeline.clear()
        for cycle in (self._answered, *waiting):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def _close(self) -> None:
        self._disconnect()
        self._table.remove(self)
        self.transport.close()

    def _abort(self) -> None:
        self._disconnect()
        self._table.remove(self)
        self.transport.abort()

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
_TRAILER_TOO_LARGE = "The request's trailer is too large."
