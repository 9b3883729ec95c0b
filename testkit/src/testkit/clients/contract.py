"""What every refusal of ingest looks like, whatever was asked (docs/http.md)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SAY_WHEN = {429, 503}
"""They tell in ``Retry-After`` when to try again."""


_OURS = re.compile(r"\b(?:[A-Z][a-z]+){2,}\b|\\|Traceback")
"""What no client is to read: a class's name, a pattern, an exception."""


def flaw(status: int, headers: Mapping[str, str], body: bytes) -> str | None:
    """What is wrong with an answer; None when it is a success, or refused as promised."""
    if status < 400:
        return None
    try:
        error = json.loads(body)["error"]
        told = isinstance(error["message"], str) and isinstance(error["code"], str)
        told = told and _are_details(error["code"], error["details"])
        if told and any(map(_OURS.search, _texts(error))):
            return f"{status} tells of our code: {body[:200]!r}"
    except (ValueError, KeyError, TypeError):
        told = False
    if not told:
        return f"{status} without a message and a code, or with odd details: {body[:200]!r}"
    return _flaw_of_wait(status, {name.lower(): value for name, value in headers.items()})


def _texts(error: dict[str, Any]) -> list[str]:
    """What people read of an error."""
    fields = error["details"] if error["code"] == "VALIDATION_ERROR" else None
    return [error["message"], *(one["message"] for one in fields or ())]


def _are_details(code: str, details: object) -> bool:
    """Of bad input: the fields, each with a message (docs/http.md)."""
    if details is None or code != "VALIDATION_ERROR":
        return True
    return isinstance(details, list) and all(
        set(one) == {"field", "message"} and all(isinstance(text, str) for text in one.values())
        for one in details
    )


def _flaw_of_wait(status: int, headers: Mapping[str, str]) -> str | None:
    wait = headers.get("retry-after", "")
    if status in SAY_WHEN and not (wait.isdecimal() and int(wait) >= 1):
        return f"{status} with Retry-After {wait!r}"
    return None


def flaw_of_raw(answer: bytes) -> str | None:
    """The same of the first answer in what came from a socket."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = rest[: int(headers.get("content-length", 0))]
    return flaw(int(first.split(" ", 2)[1]), headers, body)
