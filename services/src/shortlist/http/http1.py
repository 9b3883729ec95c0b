"""What uvicorn leaves out of HTTP/1 (RFC 9112): which heads are none, and answers to HTTP/1.0.

uvicorn takes heads without a Host or with two, other versions and the methods of RTSP, and it
answers HTTP/1.0 in chunks, which such a client takes for a part of the text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from shortlist.domain.errors import ShortlistError
from shortlist.domain.memo import remembers_short

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httptools
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_VERSIONS = frozenset({"1.0", "1.1"})

_METHODS_OF_RTSP = frozenset(
    {
        b"DESCRIBE",
        b"ANNOUNCE",
        b"SETUP",
        b"PLAY",
        b"PAUSE",
        b"TEARDOWN",
        b"GET_PARAMETER",
        b"SET_PARAMETER",
        b"REDIRECT",
        b"RECORD",
        b"FLUSH",
    }
)
"""Which the parser knows, too."""

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
"""``uri-host [ ":" port ]`` (RFC 9110, 7.2); empty where the target has no authority."""


class NotHttpError(ShortlistError):
    """A head that is none."""


def check_head(parser: httptools.HttpRequestParser, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise `NotHttpError` for a head that a server must answer with 400 (RFC 9112, 3.2)."""
    version = parser.get_http_version()
    if version not in _VERSIONS or parser.get_method() in _METHODS_OF_RTSP:
        raise NotHttpError
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 and (hosts or version != "1.0"):
        raise NotHttpError
    if hosts and not _is_host(hosts[0]):
        raise NotHttpError


@remembers_short(maxsize=64)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def answer_as_asked(cycle: RequestResponseCycle, parser: httptools.HttpRequestParser) -> None:
    """Have a request of HTTP/1.0 answered so that its client understands it."""
    if parser.get_http_version() == "1.0":
        cycle.keep_alive = parser.should_keep_alive()  # it asked for that (RFC 9112, C.2.2)
        cycle.waiting_for_100_continue = False  # it does not know what that is (RFC 9110, 10.1.1)
        cycle.send = _Send10(cycle)  # type: ignore[method-assign]


class _Send10:
    """Does what `RequestResponseCycle.send` does, for a client of HTTP/1.0.

    No chunks: an answer without a length ends with the connection.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        """``cycle`` has not begun to answer."""
        self._cycle = cycle
        self._send = cycle.send
        self._has_length = False

    async def __call__(self, message: Any) -> None:
        """Send one message of an answer."""
        if message["type"] == "http.response.start":
            message = self._start(message)
        elif not self._has_length:
            # As long as the piece is: the server takes no more, and at the end nothing is missing.
            self._cycle.expected_content_length = len(message.get("body", b""))
        await self._send(message)

    def _start(self, message: Any) -> Any:
        cycle = self._cycle
        self._has_length = any(name.lower() == b"content-length" for name, _ in message["headers"])
        if not self._has_length:
            cycle.chunked_encoding = cycle.keep_alive = False
        if not cycle.keep_alive:
            return message
        return message | {"headers": [*message["headers"], (b"connection", b"keep-alive")]}
