from __future__ import annotations

import pytest

from shortlist.http import sse


def parsed(stream: bytes) -> list[tuple[str, str, str]]:
    """Names, ids and data, read by the rules of WHATWG HTML, 9.2.6."""
    events: list[tuple[str, str, str]] = []
    data: list[str] = []
    fields = {"event": "message", "id": ""}
    for line in stream.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        name, _, value = line.partition(":")
        if not line:
            if data:
                events.append((fields["event"], fields["id"], "\n".join(data)))
            fields["event"], data = "message", []
        elif name == "data":
            data.append(value.removeprefix(" "))
        elif name:
            fields[name] = value.removeprefix(" ")
    return events


@pytest.mark.parametrize(
    "data",
    ["{}", "", "a\nb", "a\r\nb\rc\n", " leading", "data: x", ": not a comment", "日本\u2028"],
)
def test_data_of_any_lines_arrives_as_it_was(data: str) -> None:
    stream = sse.retry(1000) + sse.event("status", data.encode(), "1.scored") + sse.comment("here")
    lines = data.replace("\r\n", "\n").replace("\r", "\n")
    assert parsed(stream) == [("status", "1.scored", lines)]
