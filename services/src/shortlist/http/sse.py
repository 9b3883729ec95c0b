"""Server-sent events as bytes (WHATWG HTML, 9.2)."""

from __future__ import annotations

import re

_LINE_END = re.compile(rb"\r\n|\r|\n")


def event(name: str, data: bytes, event_id: str) -> bytes:
    """Write one event; a client that comes back names ``event_id`` in ``Last-Event-ID``.

    Each line of ``data`` (UTF-8) is a field of its own: a line end would otherwise end the event.
    ``name`` and ``event_id`` are ours, and have no line ends and no NUL.
    """
    lines = b"".join(b"data: %b\n" % line for line in _LINE_END.split(data))
    return b"event: %b\nid: %b\n%b\n" % (name.encode(), event_id.encode(), lines)


def retry(milliseconds: int) -> bytes:
    """Tell the client how long to wait before it comes back."""
    return b"retry: %d\n\n" % milliseconds


def comment(text: str) -> bytes:
    """Show every proxy on the way that the stream lives; clients drop it."""
    return b": %b\n\n" % text.encode()
