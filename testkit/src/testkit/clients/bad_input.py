"""What a front door must refuse: raw bytes of requests, each with the words that describe it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

UNKNOWN_ID = "01900000-0000-7000-8000-000000000000"
_READ_TIMEOUT_SECONDS = 30.0

APPLICATIONS = "POST /applications"
JOB = "POST /job"


@dataclass(frozen=True)
class Bad:
    """One bad request."""

    to: str
    what: str
    raw: bytes


@dataclass(frozen=True)
class Reply:
    """What came back; status 0 when the connection was closed without a word."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The error's code; empty when there is none."""
        try:
            return str(json.loads(self.body)["error"]["code"])
        except (ValueError, KeyError, TypeError):
            return ""


async def send(port: int, raw: bytes, *, method: str = "GET") -> Reply:
    """Send bytes and read one answer, with all patience; nothing is sent after them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        sending = asyncio.create_task(_write(writer, raw))
        try:
            async with asyncio.timeout(_READ_TIMEOUT_SECONDS):
                return await read_reply(reader, has_body=method != "HEAD")
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    finally:
        writer.close()


async def _write(writer: asyncio.StreamWriter, raw: bytes) -> None:
    for start in range(0, len(raw), 65_536):
        writer.write(raw[start : start + 65_536])
        await writer.drain()


async def read_reply(reader: asyncio.StreamReader, *, has_body: bool) -> Reply:
    """Read one answer; status 0 when the connection was closed instead."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return Reply(0, {}, b"")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines if line)
    headers = {name.lower(): value for name, _, value in pairs}
    length = int(headers.get("content-length", 0)) if has_body else 0
    return Reply(int(first.split()[1]), headers, await reader.readexactly(length))


def request(start: str, body: bytes = b"", *headers: str, length: int | str | None = None) -> bytes:
    """A request as it stands on the wire; ``length`` other than the body's is a lie."""
    declared = len(body) if length is None else length
    lines = [f"{start} HTTP/1.1", "Host: localhost", f"Content-Length: {declared}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def _json(**fields: Any) -> bytes:
    return json.dumps({"candidate": "Ada", "payload": "p"} | fields).encode()


def _bodies() -> list[Bad]:
    nested = b'{"candidate":"a","payload":"p","x":' + b"[" * 30_000 + b"]" * 30_000 + b"}"
    bodies = {
        "no body": b"",
        "white space": b" \n ",
        "half a document": b'{"candidate": "Ada", ',
        "text that is not JSON": b"candidate=Ada&payload=p",
        "two documents": _json() + _json(),
        "a number that JSON has not (NaN)": b'{"candidate": "a", "payload": "p", "x": NaN}',
        "single quotes": b"{'candidate': 'a', 'payload': 'p'}",
        "null": b"null",
        "an array": b"[]",
        "a string": b'"Ada"',
        "an empty object": b"{}",
        "no payload": b'{"candidate": "Ada"}',
        "no candidate": b'{"payload": "p"}',
        "candidate a number": _json(candidate=1),
        "candidate null": _json(candidate=None),
        "candidate an array": _json(candidate=["Ada"]),
        "payload an object": _json(payload={"a": 1}),
        "pipeline null": _json(pipeline=None),
        "empty candidate": _json(candidate=""),
        "candidate white space": _json(candidate=" \t"),
        "candidate of 501 characters": _json(candidate="a" * 501),
        "empty payload": _json(payload=""),
        "payload white space": _json(payload="\n"),
        "unknown pipeline": _json(pipeline="no-such"),
        "pipeline that is no name": _json(pipeline="../../etc"),
        "NUL in candidate, escaped": _json(candidate="A\x00da"),
        "NUL in payload, escaped": _json(payload="\x00"),
        "NUL in pipeline, escaped": _json(pipeline="default\x00"),
        "NUL in payload, raw": b'{"candidate": "Ada", "payload": "a\x00b"}',
        "control character in payload, raw": b'{"candidate": "Ada", "payload": "a\x01b"}',
        "lone high surrogate, escaped": b'{"candidate": "\\ud800", "payload": "p"}',
        "lone low surrogate, escaped": b'{"candidate": "Ada", "payload": "\\udc00"}',
        "surrogates in the wrong order": b'{"candidate": "Ada", "payload": "\\udc00\\ud800"}',
        "surrogate as UTF-8 bytes": b'{"candidate": "\xed\xa0\x80", "payload": "p"}',
        "byte that is not UTF-8": b'{"candidate": "Ren\xe9", "payload": "p"}',
        "overlong UTF-8": b'{"candidate": "\xc0\xaf", "payload": "p"}',
        "byte that is not UTF-8, unknown field": b'{"candidate":"a","payload":"p","x":"\xff"}',
        "UTF-16": _json().decode().encode("utf-16"),
        "UTF-8 with a byte order mark": b"\xef\xbb\xbf" + _json(),
        "60 000 brackets": nested,
        "65 537 bytes": _json(payload="p" * (65_537 - len(_json(payload="")))),
        "10 MB": _json(payload="p" * 10_000_000),
    }
    return [Bad(APPLICATIONS, what, request(APPLICATIONS, body)) for what, body in bodies.items()]


def _jobs() -> list[Bad]:
    bodies = {
        "no body": b"",
        "half a document": b'{"payload": ',
        "an array": b'["p"]',
        "no payload": b"{}",
        "empty payload": b'{"payload": ""}',
        "payload a number": b'{"payload": 1}',
        "NUL in payload, escaped": b'{"payload": "\\u0000"}',
        "10 MB": b'{"payload": "%b"}' % (b"p" * 10_000_000),
    }
    return [Bad(JOB, what, request(JOB, body)) for what, body in bodies.items()]


def _chunked(*chunks: bytes) -> bytes:
    head = (
        f"{APPLICATIONS} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    return head + b"".join(chunks)


def _framing() -> list[Bad]:
    body = _json()
    chunk = b"10000\r\n" + b"p" * 65_536 + b"\r\n"
    raw = {
        "Content-Encoding: gzip": request(APPLICATIONS, body, "Content-Encoding: gzip"),
        "Content-Encoding: made-up": request(APPLICATIONS, body, "Content-Encoding: made-up"),
        "Content-Length too small": request(APPLICATIONS, body, length=len(body) - 5),
        "Content-Length too large, then silence": request(APPLICATIONS, body, length=1_000),
        "Content-Length 10 GB, then silence": request(APPLICATIONS, body, length=10_000_000_000),
        "Content-Length beyond 64 bits": request(APPLICATIONS, body, length="9" * 30),
        "Content-Length negative": request(APPLICATIONS, body, length=-1),
        "Content-Length not a number": request(APPLICATIONS, body, length="ten"),
        "two Content-Lengths": request(APPLICATIONS, body, "Content-Length: 3"),
        "Content-Length and Transfer-Encoding": request(
            APPLICATIONS, body, "Transfer-Encoding: chunked"
        ),
        "chunked, 10 MB": _chunked(*[chunk] * 160, b"0\r\n\r\n"),
        "chunked, a size that is none": _chunked(b"xyz\r\n" + body + b"\r\n0\r\n\r\n"),
        "chunked, never ending": _chunked(b"5\r\n" + body[:5] + b"\r\n"),
        "chunked, half a document": _chunked(b"5\r\n" + body[:5] + b"\r\n0\r\n\r\n"),
        "half a body, then silence (slow-loris)": request(APPLICATIONS, body)[:-5],
        "half a head, then silence (slow-loris)": request(APPLICATIONS)[:-5],
        "a head of 40 000 bytes": request(APPLICATIONS, body, "X-Filler: " + "a" * 40_000),
        "a head of 400 000 bytes": request(APPLICATIONS, body, "X-Filler: " + "a" * 400_000),
        "5 000 headers": request(APPLICATIONS, body, *[f"X-{n}: {n}" for n in range(5_000)]),
        "a header with NUL": request(APPLICATIONS, body, "X-Nul: a\x00b"),
        "a header without a name": request(APPLICATIONS, body, ": a"),
        "Idempotency-Key empty": request(APPLICATIONS, body, "Idempotency-Key: "),
        "Idempotency-Key of 256 characters": request(
            APPLICATIONS, body, "Idempotency-Key: " + "k" * 256
        ),
        "Idempotency-Key not ASCII": request(APPLICATIONS, body, "Idempotency-Key: cl\xe9"),
    }
    return [Bad(APPLICATIONS, what, bytes_) for what, bytes_ in raw.items()]


def _reads() -> list[Bad]:
    starts = [
        ("GET", "/applications", "no ids"),
        ("GET", "/applications?ids=", "no ids, but the parameter"),
        ("GET", "/applications?ids=1,2", "ids that are no UUIDs"),
        ("GET", f"/applications?ids={UNKNOWN_ID},,", "empty ids among them"),
        ("GET", "/applications?ids=" + ",".join([UNKNOWN_ID] * 201), "201 ids"),
        ("GET", "/applications?" + "&".join(["ids=1"] * 2_000), "2 000 parameters"),
        ("GET", f"/applications/{UNKNOWN_ID}", "unknown id"),
        ("GET", "/applications/1", "id that is no UUID"),
        ("GET", "/applications/", "empty id"),
        ("GET", "/applications/%00", "id NUL"),
        ("GET", "/applications/%ff%fe", "id not UTF-8"),
        ("GET", "/applications/" + "z" * 36, "id of 36 other characters"),
        ("GET", "/applications/{" + UNKNOWN_ID[:34] + "}", "id in braces"),
        ("GET", "/applications/..%2f..%2fetc%2fpasswd", "id that climbs"),
        ("HEAD", f"/applications/{UNKNOWN_ID}", "unknown id"),
        ("HEAD", "/applications/1", "id that is no UUID"),
        ("GET", f"/applications/{UNKNOWN_ID}/events", "unknown id"),
        ("GET", "/applications/1/events", "id that is no UUID"),
        ("GET", f"/status/{UNKNOWN_ID}", "unknown id"),
        ("GET", "/status/1", "id that is no UUID"),
        ("GET", "/leaderboard?limit=0", "limit 0"),
        ("GET", "/leaderboard?limit=-1", "limit -1"),
        ("GET", "/leaderboard?limit=1001", "limit 1001"),
        ("GET", "/leaderboard?limit=1e3", "limit 1e3"),
        ("GET", "/leaderboard?limit=", "limit empty"),
        ("GET", "/leaderboard?limit=" + "9" * 1_000, "limit of 1 000 digits"),
        ("GET", "/leaderboard?limit=%D9%A3", "limit in Arabic digits"),
        ("GET", "/leaderboard?pipeline=no-such", "unknown pipeline"),
        ("GET", "/leaderboard?pipeline=%00", "pipeline NUL"),
        ("GET", "/no/such/path", "unknown path"),
        ("POST", "/no/such/path", "unknown path"),
    ]
    return [
        Bad(f"{method} {path.partition('?')[0]}", what, request(f"{method} {path}"))
        for method, path, what in starts
    ]


def _protocol() -> list[Bad]:
    wrong_methods = [
        "PUT /applications", "DELETE /applications", "OPTIONS /applications", "TRACE /applications",
        f"DELETE /applications/{UNKNOWN_ID}", f"POST /applications/{UNKNOWN_ID}",
        f"POST /applications/{UNKNOWN_ID}/events", "POST /leaderboard", "GET /job", "PUT /job",
        f"POST /status/{UNKNOWN_ID}", "POST /healthz", "POST /metrics",
    ]  # fmt: skip
    websocket = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: eA==")
    raw = {
        "words that are not HTTP": b"hello, is a server there?\r\n\r\n",
        "a TLS handshake": bytes.fromhex("16030100f8010000f40303") + bytes(237),
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/9.9": b"GET /leaderboard HTTP/9.9\r\n\r\n",
        "a method that is none": b"FETCH /leaderboard HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "a path with NUL": b"GET /applications/\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "HTTP/2.0 on the line": b"GET /leaderboard HTTP/2.0\r\nHost: localhost\r\n\r\n",
        "a method of RTSP": b"DESCRIBE /leaderboard RTSP/1.0\r\n\r\n",
        "no Host": b"GET /leaderboard HTTP/1.1\r\n\r\n",
        "two Hosts": b"GET /leaderboard HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "a Host that is none": b"GET /leaderboard HTTP/1.1\r\nHost: a b\r\n\r\n",
        "on loopback, a Host of another machine": (
            b"GET /leaderboard HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        ),
        "on loopback, from another site's page": request(
            APPLICATIONS, _json(), "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"
        ),
        "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "nothing at all": b"",
    }
    return [
        *(Bad(start, "wrong method", request(start)) for start in wrong_methods),
        Bad("GET /no/such/path", "a WebSocket", request("GET /no/such/path", b"", *websocket)),
        *(Bad("", what, bytes_) for what, bytes_ in raw.items()),
    ]


CASES: list[Bad] = [*_bodies(), *_framing(), *_jobs(), *_reads(), *_protocol()]
