"""Odd requests to ``POST /applications``: what clients, proxies and attackers really send.

Each is raw bytes with the words that describe it. None of them is silent: each gets an answer.
"""

from __future__ import annotations

import json
from typing import Any

GOOD: dict[str, Any] = {"candidate": "Ada", "payload": "knows her numbers"}
LINE = "POST /applications HTTP/1.1"
BODY = json.dumps(GOOD).encode()
LIMIT_BYTES = 65_536


def raw(
    body: bytes = BODY,
    *headers: str,
    line: str = LINE,
    host: str | None = "localhost",
    length: str | None = "",
    end: str = "\r\n",
) -> bytes:
    """A request; ``host`` or ``length`` None: without that header."""
    lines = [line]
    if host is not None:
        lines.append(f"Host: {host}")
    if length is not None:
        lines.append(f"Content-Length: {length or len(body)}")
    return end.join([*lines, *headers]).encode("latin-1") + (end * 2).encode() + body


def chunked(*chunks: bytes, trailer: str = "", coding: str = "chunked", **options: Any) -> bytes:
    """The good body in chunks."""
    pieces = chunks or (BODY[:9], BODY[9:])
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    body += b"0\r\n" + trailer.encode() + b"\r\n"
    return raw(body, f"Transfer-Encoding: {coding}", length=None, **options)


def _texts() -> dict[str, bytes]:
    """Bodies: JSON as people and programs write it, and what is none."""
    c, p = b'"candidate":"Ada"', b'"payload":"p"'
    both = c + b"," + p
    whole = {
        "white space around it": b" \r\n\t" + BODY + b"\n\n",
        "form feed around it": b"\x0c" + BODY,
        "a no-break space around it": BODY + b"\xc2\xa0",
        "a byte order mark": b"\xef\xbb\xbf" + BODY,
        "UTF-16": BODY.decode().encode("utf-16"),
        "UTF-32, little endian": BODY.decode().encode("utf-32-le"),
        "a NUL behind it": BODY + b"\x00",
        "text behind it": BODY + b"x",
        "two of it": BODY + BODY,
        "a comma behind it": BODY + b",",
        "a comment": BODY + b"// ok",
        "a form": b"candidate=Ada&payload=p",
        "an array of it": b"[" + BODY + b"]",
        "a string of it": json.dumps(BODY.decode()).encode(),
        "half of it": BODY[:20],
        "nothing": b"",
        "a lone brace": b"{",
        "one digit": b"1",
    }
    inside = {
        "the other order": p + b"," + c,
        "a key twice, the same": both + b"," + c,
        "a key twice, another value": both + b',"payload":"q"',
        "a key twice, first of another type": b'"payload":1,' + both,
        "an escaped key": rb'"\u0063andidate":"Ada",' + p,
        "a key in capitals": b'"Candidate":"Ada",' + p,
        "an empty key": both + b',"":1',
        "unknown keys": both + b',"a":[1,{"b":null}],"c":true',
        "an unknown huge number": both + b',"x":1e999',
        "an unknown long number": both + b',"x":' + b"9" * 400,
        "an unknown NUL, escaped": both + rb',"x":"\u0000"',
        "an unknown lone surrogate": both + rb',"x":"\ud800"',
        "an unknown byte that is not UTF-8": both + b',"x":"\xff"',
        "an unknown overlong byte": both + b',"x":"\xc0\xaf"',
        "an unknown surrogate in UTF-8": both + b',"x":"\xed\xa0\x80"',
        "an unknown key that is not UTF-8": both + b',"\xe9":1',
        "an unknown control character": both + b',"x":"a\x01"',
        "an unknown nest of 100": both + b',"x":' + b"[" * 100 + b"]" * 100,
        "an unknown nest of 5 000": both + b',"x":' + b"[" * 5_000 + b"]" * 5_000,
        "an unknown NaN": both + b',"x":NaN',
        "an unknown Infinity": both + b',"x":-Infinity',
        "an unknown number with zeros first": both + b',"x":007',
        "an unknown hexadecimal": both + b',"x":0x10',
        "a comma at the end": both + b",",
        "no comma": c + p,
        "a tab in a string": c + b',"payload":"a\tb"',
        "an escaped tab": c + rb',"payload":"a\tb"',
        "a line end in a string": c + b',"payload":"a\nb"',
        "DEL": c + b',"payload":"a\x7fb"',
        "a C1 control character": c + b',"payload":"a\xc2\x85b"',
        "an escaped slash": c + rb',"payload":"a\/b"',
        "an escape that is none": c + rb',"payload":"a\xb"',
        "half an escape": c + rb',"payload":"\u12"',
        "a pair of surrogates, escaped": c + rb',"payload":"\ud83d\ude00"',
        "a lone surrogate": c + rb',"payload":"\ud83d"',
        "a line separator": c + ',"payload":"a\u2028b"'.encode(),
        "a zero-width space only": c + ',"payload":"\u200b"'.encode(),
        "no-break spaces only": c + ',"payload":"\u00a0\u00a0"'.encode(),
        "a NUL": c + rb',"payload":"a\u0000"',
        "500 characters": p + b',"candidate":"' + b"a" * 500 + b'"',
        "501 characters": p + b',"candidate":"' + b"a" * 501 + b'"',
        "500 characters of four bytes": p + f',"candidate":"{"😀" * 500}"'.encode(),
        "candidate null": p + b',"candidate":null',
        "candidate a number": p + b',"candidate":1',
        "candidate true": p + b',"candidate":true',
        "payload an array": c + b',"payload":["p"]',
        "pipeline default": both + b',"pipeline":"default"',
        "pipeline sales": both + b',"pipeline":"sales"',
        "pipeline empty": both + b',"pipeline":""',
        "pipeline null": both + b',"pipeline":null',
        "pipeline in capitals": both + b',"pipeline":"Sales"',
        "pipeline with a space": both + b',"pipeline":"sales "',
        "pipeline of 64 characters": both + b',"pipeline":"' + b"a" * 64 + b'"',
    }
    limit = c + b',"payload":"%b"' % (b"p" * (LIMIT_BYTES - len(c) - len(',"payload":""{}')))
    inside |= {"as long as may be": limit, "a byte too long": limit[:-1] + b'p"'}
    return whole | {what: b"{" + text + b"}" for what, text in inside.items()}


def _headers() -> dict[str, bytes]:
    n = str(len(BODY))
    headers = {
        "Content-Type of text": "Content-Type: text/plain",
        "Content-Type of a form": "Content-Type: application/x-www-form-urlencoded",
        "Content-Type with a charset": "Content-Type: application/json; charset=utf-16",
        "Content-Encoding identity": "Content-Encoding: identity",
        "Content-Encoding gzip": "Content-Encoding: gzip",
        "Content-Encoding empty": "Content-Encoding: ",
        "Connection: keep-alive": "Connection: keep-alive",
        "Connection: close": "Connection: close",
        "Connection: Keep-Alive, close": "Connection: Keep-Alive, close",
        "Connection: upgrade, to nothing": "Connection: Upgrade",
        "h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
        "a WebSocket": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==",
        "Expect: 100-continue": "Expect: 100-continue",
        "Expect something else": "Expect: the-best",
        "TE: trailers": "TE: trailers",
        "Range": "Range: bytes=0-3",
        "If-None-Match": "If-None-Match: *",
        "another method to be meant": "X-HTTP-Method-Override: DELETE",
        "Authorization": "Authorization: Bearer x",
        "Cookie": "Cookie: a=b",
        "Forwarded": "Forwarded: for=1.2.3.4;host=evil.example",
        "X-Forwarded-Host": "X-Forwarded-Host: evil.example",
        "a trace": "traceparent: 00-" + "1" * 32 + "-" + "1" * 16 + "-01",
        "a trace that is none": "traceparent: x",
        "an empty value": "X-Empty:",
        "no space behind the colon": "X-A:b",
        "spaces around a value": "X-A: \t b \t ",
        "a space before the colon": "X-A : b",
        "a folded value": "X-A: b\r\n c",
        "eight bits in a value": "X-A: caf\xe9",
        "an underscore": "X_A: b",
        "a name that is none": "X(A): b",
        "90 headers": "\r\n".join(f"X-{number}: {number}" for number in range(90)),
        "a header of 20 000 bytes": "X-A: " + "a" * 20_000,
        "an Origin of ours": "Origin: http://localhost:3000",
        "an Origin of another site": "Origin: https://evil.example",
        "an Origin of nothing": "Origin: null",
        "from our page": "Sec-Fetch-Site: same-origin",
        "from no page": "Sec-Fetch-Site: none",
        "from another site's page": "Sec-Fetch-Site: cross-site",
        "a key": "Idempotency-Key: k1",
        "a key in quotes": 'Idempotency-Key: "k2"',
        "a key with a space within": "Idempotency-Key: k 3",
        "a key, empty": "Idempotency-Key:",
        "a second Content-Length, the same": f"Content-Length: {n}",
        "a second Content-Length, another": "Content-Length: 5",
        "chunked and a length": "Transfer-Encoding: chunked",
        "a second Host, the same": "Host: localhost",
        "a second Host, another": "Host: evil.example",
    }
    found = {what: raw(BODY, header) for what, header in headers.items()}
    lengths = {
        "zeros first": "00" + n, "spaces around": f" {n} ", "a plus": "+" + n,
        "twice": f"{n}, {n}", "hexadecimal": hex(len(BODY)), "a fraction": n + ".0",
        "of 30 digits": "9" * 30,
    }  # fmt: skip
    found |= {f"a Content-Length with {w}": raw(length=length) for w, length in lengths.items()}
    hosts = {
        "with a port": "127.0.0.1:1", "in capitals": "LOCALHOST", "of IPv6": "[::1]:80",
        "of another machine": "evil.example", "that begins like ours": "127.0.0.1.evil.example",
        "with a path": "localhost/x", "with a user": "a@localhost", "empty": "",
    }  # fmt: skip
    found |= {f"a Host {what}": raw(host=host) for what, host in hosts.items()}
    return found | {"no Host": raw(host=None)}


def _lines() -> dict[str, bytes]:
    targets = {
        "an empty query": "/applications?", "a query": "/applications?pipeline=sales",
        "a fragment": "/applications#a", "two slashes": "//applications",
        "a slash at the end": "/applications/", "a capital": "/Applications",
        "an escape": "/%61pplications", "a dot": "/./applications",
        "a parameter": "/applications;a",
        "the whole URL": "http://localhost/applications",
        "the whole URL of another": "http://evil.example/applications",
        "no slash": "applications", "a star": "*",
    }  # fmt: skip
    found = {what: raw(line=f"POST {target} HTTP/1.1") for what, target in targets.items()}
    lines = {
        "a small method": "post /applications HTTP/1.1",
        "two spaces": "POST  /applications HTTP/1.1",
        "a tab": "POST\t/applications HTTP/1.1", "a space at its end": LINE + " ",
        "small http": "POST /applications http/1.1", "no version": "POST /applications",
        "HTTP/0.9": "POST /applications HTTP/0.9", "HTTP/1.2": "POST /applications HTTP/1.2",
        "HTTP/2.0": "POST /applications HTTP/2.0", "HTTP/1.0": "POST /applications HTTP/1.0",
        "HTTP/1.01": "POST /applications HTTP/1.01", "RTSP": "DESCRIBE /applications RTSP/1.0",
        "a method of RTSP": "ANNOUNCE /applications HTTP/1.1",
    }  # fmt: skip
    found |= {what: raw(line=line) for what, line in lines.items()}
    old = "POST /applications HTTP/1.0"
    return found | {
        "HTTP/1.0 without a Host": raw(line=old, host=None),
        "HTTP/1.0, kept alive": raw(BODY, "Connection: keep-alive", line=old),
        "HTTP/1.0 that expects 100": raw(BODY, "Expect: 100-continue", line=old),
        "HTTP/1.0 of another site's page": raw(BODY, "Origin: https://evil.example", line=old),
        "LF for line ends": raw(end="\n"),
        "an empty line before it": b"\r\n" + raw(),
        "ten empty lines before it": b"\r\n" * 10 + raw(),
        "a space before it": b" " + raw(),
    }


def _chunks() -> dict[str, bytes]:
    return {
        "chunks": chunked(),
        "one chunk": chunked(BODY),
        "chunks of one byte": chunked(*[BODY[n : n + 1] for n in range(len(BODY))]),
        "Chunked, with a capital": chunked(coding="Chunked"),
        "chunked after identity": chunked(coding="identity, chunked"),
        "chunked before gzip": chunked(coding="chunked, gzip"),
        "a coding that is none": chunked(coding="made-up"),
        "chunks with a trailer": chunked(trailer="X-A: b\r\n"),
        "chunks with an extension": chunked().replace(b"9\r\n", b"9;a=b\r\n", 1),
        "chunks with zeros first": chunked().replace(b"9\r\n", b"009\r\n", 1),
        "chunks that are none": chunked().replace(b"9\r\n", b"zz\r\n", 1),
        "chunks, HTTP/1.0": chunked(line="POST /applications HTTP/1.0"),
        "chunks from another site's page": chunked().replace(
            b"Transfer", b"Origin: null\r\nTransfer", 1
        ),
    }


ODD: dict[str, bytes] = {
    **{f"body: {what}": raw(body) for what, body in _texts().items()},
    **{f"header: {what}": request for what, request in _headers().items()},
    **{f"line: {what}": request for what, request in _lines().items()},
    **_chunks(),
}
