"""What clients send to be scored, what of it is refused, and what they get.

Decoded and encoded by msgspec, as these types; the OpenAPI document is made from them too.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import msgspec

from shortlist.domain.line.application import DEFAULT_PIPELINE, PIPELINE_NAME_PATTERN, Status
from shortlist.http.errors import ApiError, invalid, unavailable

if TYPE_CHECKING:
    from shortlist.domain.line.application import ApplicationView

CANDIDATE_LIMIT_CHARACTERS = 500
KEY_LIMIT_CHARACTERS = 255

_TEXT = {"pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}
"""For the document: no NUL, not only white space. `_check` does it here, and says which it was."""

_NAME = {"pattern": PIPELINE_NAME_PATTERN}
"""For the document: another name is no pipeline's."""


class ApplicationBody(msgspec.Struct):
    """``POST /applications``. Fields that are not named here are ignored."""

    candidate: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=CANDIDATE_LIMIT_CHARACTERS,
            description="Who applies; shown on the leaderboard.",
            extra_json_schema=_TEXT,
        ),
    ]
    payload: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description="What is scored; not only white space.",
            extra_json_schema=_TEXT,
        ),
    ]
    pipeline: Annotated[
        str,
        msgspec.Meta(max_length=63, description="Whose line to wait in.", extra_json_schema=_NAME),
    ] = DEFAULT_PIPELINE


class JobBody(msgspec.Struct):
    """``POST /job``."""

    payload: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description="What is worked on; not only white space.",
            extra_json_schema=_TEXT,
        ),
    ]


class ApplicationStatus(msgspec.Struct, omit_defaults=True):
    """One application. Times are RFC 3339, UTC."""

    id: UUID
    candidate: str
    status: Status
    pipeline: str
    attempts: int
    accepted_at: dt.datetime
    score: float | None = None
    reason: str | None = None
    finished_at: dt.datetime | None = None

    @classmethod
    def of(cls, view: ApplicationView) -> ApplicationStatus:
        """Make what clients see of an application."""
        return cls(
            view.id,
            view.candidate,
            view.status,
            view.pipeline,
            view.attempts,
            view.accepted_at,
            view.score,
            view.reason,
            view.finished_at,
        )


class Ranked(msgspec.Struct):
    """One line of a leaderboard."""

    id: UUID
    candidate: str
    score: float
    accepted_at: dt.datetime
    finished_at: dt.datetime


class JobStatus(msgspec.Struct):
    """A job, in the job server's words."""

    id: str
    status: str


Body = TypeVar("Body", ApplicationBody, JobBody)


def decode(decoder: msgspec.json.Decoder[Body], raw: bytes | bytearray) -> Body:
    """Decode a body that may be stored; 400 with a reason for any other."""
    try:
        body = decoder.decode(raw)
        _check_encoding(raw)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        raise invalid(message + ("." if place else ""), place.rstrip("`") or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Their messages may quote the input.
        raise invalid("The body is not JSON in UTF-8.") from None
    for name in body.__struct_fields__:
        _check(name, getattr(body, name))
    return body


def _check_encoding(raw: bytes | bytearray) -> None:
    """Raise `UnicodeDecodeError`. The decoder looks only at what it keeps (RFC 8259, 8.1)."""
    if not raw.isascii():
        raw.decode()


def _check(name: str, text: str) -> None:
    if "\x00" in text:
        raise invalid("Text must not contain NUL characters.", name)
    if text.isspace():
        raise invalid("Text must not be white space only.", name)


def idempotency_key(headers: dict[bytes, bytes]) -> str | None:
    """Return the request's ``Idempotency-Key``, if it has one; 400 when it cannot be one."""
    raw = headers.get(b"idempotency-key")
    if raw is None:
        return None
    if not 1 <= len(raw) <= KEY_LIMIT_CHARACTERS or not raw.isascii():
        raise invalid(f"An Idempotency-Key has 1 to {KEY_LIMIT_CHARACTERS} ASCII characters.")
    return raw.decode("ascii")


def meaning_hash(*meaning: Any) -> bytes:
    """Hash what a body says, however its JSON was laid out: 16 bytes."""
    return hashlib.blake2b(msgspec.json.encode(meaning), digest_size=16).digest()


def key_reused() -> ApiError:
    """Make a 422: on this route and for this pipeline the key stands for another body."""
    return ApiError(
        422, "IDEMPOTENCY_KEY_REUSED", "This Idempotency-Key was used with another body."
    )


def key_contended() -> ApiError:
    """Make a 503: others were just using the key, on another route or for another pipeline."""
    return unavailable("Another request is using this Idempotency-Key. Nothing was done.")
