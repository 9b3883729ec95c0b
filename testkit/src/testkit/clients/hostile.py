"""Clients that mean no good, as blocking sockets: thousands in one process."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
from typing import TYPE_CHECKING, Self

from testkit.clients.bad_input import APPLICATIONS, request
from testkit.processes.ingest import APPLICATION

if TYPE_CHECKING:
    from collections.abc import Iterable

_ADDRESSES = [f"127.0.0.{last}" for last in range(2, 12)]
_TIMEOUT_SECONDS = 10.0
_BODY = json.dumps(APPLICATION).encode()

HALF_HEAD = b"POST /applications HTTP/1.1\r\nHost: localhost\r\nX-Filler: "
HALF_BODY = request(APPLICATIONS, b'{"candidate": "Ada", ', length=60_000)
NEARLY_ALL = request(APPLICATIONS, b"x" * 65_535, length=65_536)
LARGE = request(APPLICATIONS, json.dumps(APPLICATION | {"payload": "p" * 65_000}).encode())
TINY_FIELDS = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a:\r\n" * 9_000
TRAILERS = (
    b"POST /applications HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"%x\r\n%b\r\n0\r\n" % (len(_BODY), _BODY)
    + b"a:\r\n" * 4_100_000
)
"""Just under 16 MiB, at which a message is refused whatever it is."""
UNREAD = request("GET /openapi.json") * 33


def watch(application: str) -> bytes:
    """Open an event stream that stays open."""
    return request(f"GET /applications/{application}/events")


def pipelined(application: str, size_bytes: int = 262_144) -> bytes:
    """Tiny requests behind an event stream, in one write."""
    tiny = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    return watch(application) + tiny * (size_bytes // len(tiny))


class Crowd:
    """Connections of one attack; what they were answered."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            one.close()

    def come(self, count: int, raw: bytes = b"") -> int:
        """Connect and send, one after another; how many got in."""
        got_in = 0
        for _, address in zip(range(count), itertools.cycle(_ADDRESSES), strict=False):
            one = socket.socket()
            self._sockets.append(one)
            one.settimeout(_TIMEOUT_SECONDS)
            with contextlib.suppress(OSError):
                one.bind((address, 0))
                one.connect(("127.0.0.1", self._port))
                got_in += 1
                one.sendall(raw)
        return got_in

    def answers(self) -> list[bytes]:
        """What has come back so far, of those that were answered."""
        return [answer for one in self._sockets if (answer := _so_far(one))]


def _so_far(one: socket.socket) -> bytes:
    one.settimeout(0)
    with contextlib.suppress(OSError):
        return one.recv(65_536)
    return b""


def statuses(answers: Iterable[bytes]) -> set[int]:
    """Of the first answer that each got."""
    return {int(answer.split(b" ", 2)[1]) for answer in answers}
