from __future__ import annotations

import socketserver
import threading
import time
from typing import TYPE_CHECKING

import pytest

from loadtest.bench.load import Load, is_whole, request_bytes, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Server(socketserver.ThreadingTCPServer):
    """Answers every request with an empty 200, and remembers the bodies."""

    daemon_threads = True
    bodies: list[str]


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            if line.lower().startswith(b"content-length:"):
                self.rfile.readline()
                body = self.rfile.read(int(line.split(b":")[1]))
                assert isinstance(self.server, Server)
                self.server.bodies.append(body.decode())
                self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.bodies = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_each_body_of_a_file_is_sent_once_and_then_the_run_ends(
    server: Server, tmp_path: Path
) -> None:
    bodies = [f'{{"applicantId": {number}}}' for number in range(100)]
    path = tmp_path / "bodies"
    path.write_text("\n".join(bodies), encoding="utf-8")
    load = Load(server.server_address[1], bodies_file=str(path), connections=8, warmup_seconds=0)
    report = run(load)
    assert sorted(server.bodies) == sorted(bodies)
    assert report.statuses == {"200": 100}


def test_a_paced_load_begins_no_request_early(server: Server) -> None:
    began = time.perf_counter()
    report = run(Load(server.server_address[1], body="{}", count=21, per_second=100))
    assert report.requests == 21
    assert time.perf_counter() - began >= 20 / 100


def test_a_request_carries_its_authorization() -> None:
    request = request_bytes("GET", "/api/jobs", None, "Bearer sl_key")
    assert request.endswith(b"Host: localhost\r\nAuthorization: Bearer sl_key\r\n\r\n")


def test_a_request_with_a_body_tells_its_length() -> None:
    request = request_bytes("POST", "/applications", "{}")
    assert request.startswith(b"POST /applications HTTP/1.1\r\nHost: localhost\r\n")
    assert request.endswith(b"Content-Length: 2\r\n\r\n{}")


@pytest.mark.parametrize(
    ("answer", "has_body", "whole"),
    [
        (b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}", True, True),
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{", True, False),
        (b"HTTP/1.1 202 Accepted\r\nContent-Len", True, False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n", False, True),
    ],
)
def test_an_answer_is_whole_when_its_body_is(answer: bytes, *, has_body: bool, whole: bool) -> None:
    assert is_whole(answer, has_body=has_body) is whole


def test_an_answer_without_a_length_is_refused() -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        is_whole(b"HTTP/1.1 200 OK\r\nserver: x\r\n\r\n", has_body=True)
