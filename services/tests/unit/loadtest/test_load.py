from __future__ import annotations

import pytest

from loadtest.bench.load import is_whole, request_bytes


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
