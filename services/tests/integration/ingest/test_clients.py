"""HTTP as clients speak it: HEAD, HTTP/1.0, a browser's EventSource, a browser on another site."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import TYPE_CHECKING

import pytest
from starlette.routing import Route

from shortlist.http import http1, sse
from shortlist.ingest import endpoint
from shortlist.ingest.routes import events
from testkit.clients.swift import Ask, timed
from testkit.processes.ingest import APPLICATION
from testkit.waiting import until

if TYPE_CHECKING:
    from testkit.clients.dashboard import Applicants
    from testkit.processes.ingest import Door

PATIENCE_SECONDS = 20


async def spoken(port: int, request: bytes, *, to: bytes | None = None) -> bytes:
    """All that the server says: until it closes, or has said something."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            writer.write(request)
            return await (reader.read() if to is None else reader.readuntil(to))
    finally:
        writer.close()


def one(method: str, path: str, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def parts(answer: bytes) -> tuple[str, str, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    line, _, fields = head.decode().partition("\r\n")
    return line, fields.lower(), body


async def every_head_ends(door: Door) -> int:
    """HEAD of every route that has GET: a head, no body, and the connection serves on."""
    application = await door.accept()
    count = 0
    for route in door.ingest.app.all_routes:
        assert isinstance(route, Route)
        if "HEAD" not in (route.methods or ()):
            continue
        path = route.path.replace("{id}", application)
        raw = one("HEAD", path) + one("GET", "/healthz", "Connection: close")
        answer = await asyncio.wait_for(spoken(door.port, raw), PATIENCE_SECONDS)
        _, _, rest = parts(answer)
        assert rest.startswith(b"HTTP/1.1 200 OK\r\n"), (path, answer)
        assert rest.endswith(b'{"status":"ok"}'), (path, answer)
        count += 1
    return count


async def test_head_of_every_route_ends_without_a_body(door: Door) -> None:
    assert await every_head_ends(door) >= 9


async def test_off_switch_a_stream_that_does_not_know_head_never_ends(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "_is_head", lambda _: False)
    application = await door.accept()
    raw = one("HEAD", f"/applications/{application}/events") + one("GET", "/healthz")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await spoken(door.port, raw, to=b'{"status":"ok"}')


async def http_1_0_gets_no_chunks(door: Door, applicants: Applicants) -> None:
    done = await applicants.scored("Ada", 50.0)
    paths = ("/healthz", "/leaderboard", f"/applications/{done}/events", "/openapi.json")
    for headers in ((), ("Connection: keep-alive",)):
        for path in paths:
            raw = one("GET", path, *headers, version="1.0")
            ends = None if not headers or "events" in path else b"\r\n\r\n"
            line, fields, body = parts(await spoken(door.port, raw, to=ends))
            assert line == "HTTP/1.1 200 OK", path
            assert "transfer-encoding" not in fields, f"chunks: {path}"
            if "events" in path:
                assert "connection: close" in fields
                assert b'"status":"scored"' in body
                assert not re.match(rb"[0-9a-f]+\r\n", body)
            else:
                assert ("connection: keep-alive" if headers else "connection: close") in fields


async def test_http_1_0_gets_no_chunks(door: Door, applicants: Applicants) -> None:
    await http_1_0_gets_no_chunks(door, applicants)


async def test_off_switch_without_our_send_http_1_0_gets_chunks(
    door: Door, applicants: Applicants, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1, "answer_as_asked", lambda *_: None)
    with pytest.raises(AssertionError, match=r"^chunks: "):
        await http_1_0_gets_no_chunks(door, applicants)


async def test_an_http_1_0_client_that_asks_for_it_keeps_its_connection(door: Door) -> None:
    first = one("GET", "/healthz", "Connection: keep-alive", version="1.0")
    answers = await spoken(door.port, first + one("GET", "/healthz", version="1.0"))
    assert answers.count(b'{"status":"ok"}') == 2
    assert answers.lower().count(b"connection: keep-alive") == 1


async def a_browser_stops(door: Door, application: str) -> list[str]:
    """An EventSource: it comes back with the last id until it is told 204; what it was told."""
    told: list[str] = []
    last_id = ""
    for _ in range(5):
        headers = {"Last-Event-ID": last_id} if last_id else {}
        reply = await door.client.get(f"/applications/{application}/events", headers=headers)
        if reply.status_code == 204:
            assert (reply.content, "content-length" in reply.headers) == (b"", False)
            return told
        told += re.findall(r'"status":"(\w+)"', reply.text)
        last_id = re.findall(r"^id: (.+)$", reply.text, re.MULTILINE)[-1]
    raise AssertionError(f"it never stops: {told}")


async def test_a_browser_stops_after_the_final_event(door: Door, applicants: Applicants) -> None:
    application = str(await applicants.scored("Ada", 50.0))
    assert await a_browser_stops(door, application) == ["scored"]


async def test_off_switch_without_ids_a_browser_never_stops(
    door: Door, applicants: Applicants, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(range(1_000))
    monkeypatch.setattr(events, "_id", lambda _: str(next(numbers)))
    application = str(await applicants.scored("Ada", 50.0))
    with pytest.raises(AssertionError, match=r"^it never stops"):
        await a_browser_stops(door, application)


async def test_a_stream_goes_on_behind_the_event_that_the_client_has(
    door: Door, applicants: Applicants
) -> None:
    application = str(await applicants.scoring("Ada"))
    path = f"/applications/{application}/events"
    told = await spoken(door.port, one("GET", path), to=b"}\n\n")
    event_id = re.search(rb"\nid: (.+)\n", told)
    assert event_id is not None
    again = one("GET", path, f"Last-Event-ID: {event_id[1].decode()}")
    head_and_retry = await spoken(door.port, again, to=b"retry: 1000\n\n\r\n")
    assert b"data:" not in head_and_retry
    for unknown in ("0.nothing", "x" * 5_000, "ä"):  # of another release, or made up
        raw = one("GET", path).replace(
            b"\r\n\r\n", b"\r\nLast-Event-ID: " + unknown.encode("latin-1") + b"\r\n\r\n"
        )
        assert b'"status":"scoring"' in await spoken(door.port, raw, to=b"}\n\n")


async def test_who_never_reads_a_stream_is_waited_for_and_holds_up_no_other(
    door: Door, applicants: Applicants, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0

    def large(_: str) -> bytes:
        nonlocal made
        made += 1
        return b": " + b"x" * 65_536 + b"\n\n"

    monkeypatch.setattr(events, "_KEEPALIVE_SECONDS", 0.001)  # it is told without end that it lives
    monkeypatch.setattr(sse, "comment", large)
    application = str(await applicants.scoring("Ada"))
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", door.port))
        client.sendall(one("GET", f"/applications/{application}/events"))

        async def nothing_more_is_made() -> bool:
            before = made
            await asyncio.sleep(0.5)
            return made == before > 0

        await until(nothing_more_is_made, within_seconds=PATIENCE_SECONDS, what="it is waited for")
        assert made < 200  # what the kernel keeps for it, and one piece
        answers = [await timed(Ask(door.port, "GET", "/healthz")) for _ in range(20)]
        assert {answer.status for answer in answers} == {200}

    async def is_forgotten() -> bool:
        return door.ingest.announcements.watchers == 0

    await until(is_forgotten, within_seconds=PATIENCE_SECONDS, what="it is forgotten")


async def test_the_page_of_the_api_needs_nothing_from_elsewhere(door: Door) -> None:
    page = await door.client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "://" not in page.text
    assert "<script" not in page.text
    for path in door.ingest.app.routes:
        assert isinstance(path, Route)
        shown = "/api/apply-public" if path.path.startswith("/api/") else path.path
        assert shown in page.text
    for link in re.findall(r'(?:href|src)="(/[^"]*)"', page.text):
        reply = await door.client.get(link)
        assert reply.status_code == 200, link
    anchors = re.findall(r'href="#(\w+)"', page.text)
    assert anchors
    assert all(f'id="{anchor}"' in page.text for anchor in anchors)


async def test_a_bug_is_an_internal_error(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(door.ingest.lines), "find", break_)
    reply = await door.client.get("/leaderboard")
    assert (reply.status_code, reply.json()["error"]["message"]) == (500, "Internal error.")
    assert (await door.client.post("/applications", json=APPLICATION)).status_code == 202
