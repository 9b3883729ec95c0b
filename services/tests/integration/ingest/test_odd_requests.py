"""Odd requests mean the same on the fast way and on the ordinary one, whole and in pieces."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from shortlist.ingest.fast_path import FastPost
from shortlist.storage.postgres.queries import pipelines
from testkit.clients.odd_requests import BODY, ODD, raw

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from shortlist.storage.postgres import Connection
    from testkit.processes.ingest import Door

    Opener = Callable[..., AbstractAsyncContextManager[Door]]

FAST: dict[str, Any] = {}
ORDINARY: dict[str, Any] = {"rate_limit_per_second": 1e6, "rate_limit_burst": 10**9}
PATIENCE_SECONDS = 20
BETWEEN_PIECES_SECONDS = 0.003

VARYING = [
    (rb"date: [^\r]*", b"date: DATE"),
    (rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"ID"),
    (rb"ratelimit-remaining: \d+", b"ratelimit-remaining: N"),
]


class Meaning(NamedTuple):
    """What a request did: all that was answered until the final answer's end, and its rows."""

    answers: bytes
    rows: list[tuple[Any, ...]]


def whole(request: bytes) -> list[bytes]:
    return [request]


def pieces(request: bytes) -> list[bytes]:
    """Cut in the line, in a header, before and in the body."""
    head = request.find(b"\r\n\r\n") + 4
    cuts = sorted({0, 5, head // 2, head - 2, head, head + 7, len(request) - 1})
    cuts = [cut for cut in cuts if 0 <= cut < len(request)]
    return [request[a:b] for a, b in zip(cuts, [*cuts[1:], len(request)], strict=True)]


async def sent(port: int, writes: list[bytes]) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            for number, write in enumerate(writes):
                if number:
                    await asyncio.sleep(BETWEEN_PIECES_SECONDS)
                writer.write(write)
            return await _answers(reader)
    finally:
        writer.close()


async def _answers(reader: asyncio.StreamReader) -> bytes:
    answers = b""
    while not answers or answers.startswith(b"HTTP/1.1 100"):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        answers = head + (await reader.readexactly(int(length[1])) if length else b"")
    for pattern, instead in VARYING:
        answers = re.sub(pattern, instead, answers)
    return answers


async def meanings(
    door: Door, db: Connection, cut: Callable[[bytes], list[bytes]]
) -> dict[str, Meaning]:
    """Send each, look at what it wrote, and clear up."""
    found = {}
    for what, request in ODD.items():
        try:
            answers = await sent(door.port, cut(request))
        except OSError as error:
            raise AssertionError(what) from error
        rows = await db.fetch("SELECT pipeline, candidate, payload FROM applications")
        found[what] = Meaning(answers, [tuple(row) for row in rows])
        await db.execute("TRUNCATE applications, idempotency_keys, scoped_idempotency_keys")
    return found


async def both_ways_mean_the_same(
    opening: Opener, db: Connection, cut: Callable[[bytes], list[bytes]]
) -> dict[str, Meaning]:
    await pipelines.configure(db, "sales", 1_000)  # type: ignore[arg-type]
    async with opening(**FAST) as door:
        fast = await meanings(door, db, cut)
    async with opening(**ORDINARY) as door:
        ordinary = await meanings(door, db, cut)
    differ = [what for what in ODD if fast[what] != ordinary[what]]
    assert not differ, [(what, fast[what], ordinary[what]) for what in differ[:3]]
    return fast


def status(meaning: Meaning) -> int:
    return int(meaning.answers.split()[1])


async def test_both_ways_mean_the_same_whole_and_in_pieces(opening: Opener, db: Connection) -> None:
    assert len(ODD) >= 100
    in_one = await both_ways_mean_the_same(opening, db, whole)
    in_pieces = await both_ways_mean_the_same(opening, db, pieces)
    differ = [what for what in ODD if in_one[what] != in_pieces[what]]
    assert not differ, [(what, in_one[what], in_pieces[what]) for what in differ[:3]]
    for what, meaning in in_one.items():
        assert status(meaning) in {202, 400, 403, 404, 413, 415, 431}, (what, meaning)
        assert len(meaning.rows) == (status(meaning) == 202), (what, meaning)
        if status(meaning) == 400:
            assert b'"code":"VALIDATION_ERROR"' in meaning.answers, what


REFUSED = {
    "body: an unknown byte that is not UTF-8": 400, "body: an unknown overlong byte": 400,
    "body: an unknown surrogate in UTF-8": 400, "body: an unknown key that is not UTF-8": 400,
    "header: no Host": 400, "header: a second Host, the same": 400,
    "header: a Host with a path": 400,
    "header: a second Host, another": 400, "header: a Host with a user": 400,
    "header: a Host of another machine": 403, "header: a Host that begins like ours": 403,
    "header: an Origin of another site": 403, "header: an Origin of nothing": 403,
    "header: from another site's page": 403, "chunks from another site's page": 403,
    "line: HTTP/2.0": 400, "line: HTTP/1.2": 400, "line: HTTP/0.9": 400,
    "line: RTSP": 400, "line: a method of RTSP": 400, "header: an Origin of ours": 202,
    "header: from our page": 202, "line: HTTP/1.0 without a Host": 202, "header: a trace": 202,
    "header: a Host of IPv6": 202, "header: a Host in capitals": 202,
}  # fmt: skip


@pytest.mark.parametrize("way", [FAST, ORDINARY], ids=["fast", "ordinary"])
async def test_what_is_refused_is_refused(opening: Opener, way: dict[str, Any]) -> None:
    async with opening(**way) as door:
        for what, expected in REFUSED.items():
            answers = await sent(door.port, whole(ODD[what]))
            assert int(answers.split()[1]) == expected, (what, answers)


async def test_off_switch_a_fast_way_that_looks_at_no_header_means_something_else(
    opening: Opener, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shortlist.ingest.fast_path._UNUSUAL", frozenset({b"transfer-encoding"}))
    monkeypatch.setattr(FastPost, "_is_for_us", lambda *_: True)
    with pytest.raises(AssertionError, match=r"an Origin of another site"):
        await both_ways_mean_the_same(opening, db, whole)


async def test_names_that_are_allowed_are_served_and_may_write(opening: Opener) -> None:
    async with opening(allowed_hosts="apply.example, other.example") as door:
        ours = raw(BODY, "Origin: https://other.example", host="apply.example")
        assert (await sent(door.port, [ours])).startswith(b"HTTP/1.1 202")
        evil = raw(BODY, "Origin: https://evil.example", host="apply.example")
        assert (await sent(door.port, [evil])).startswith(b"HTTP/1.1 403")
