"""The one shape of an error, whichever level refuses.

``{"error": {"message": str, "code": str, "details": any or null}}``, as the hiring contract has it;
the details of a `VALIDATION_ERROR` are ``[{"field": str, "message": str}]``, or null.
Messages never repeat what the client sent.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from shortlist.domain.errors import ShortlistError

RETRY_AFTER_UNAVAILABLE_SECONDS = 1
"""Postgres mostly comes back within seconds, and a refused client costs little."""

CODES = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    431: "HEADERS_TOO_LARGE",
    500: "INTERNAL_ERROR",
    503: "UNAVAILABLE",
}
"""Codes of the answers that a framework or the protocol gives, by status."""


def error_body(message: str, code: str, details: Any = None) -> bytes:
    """Encode an error as JSON."""
    return msgspec.json.encode({"error": {"message": message, "code": code, "details": details}})


class ApiError(ShortlistError):
    """An answer that is not a success; raised by what handles a call."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Any = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        """``status`` is HTTP's, ``code`` is for programs, ``message`` for people."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details
        self.headers = headers

    def body(self) -> bytes:
        """Encode the answer's body as JSON."""
        return error_body(str(self), self.code, self.details)


def retry_after(seconds: float) -> tuple[tuple[bytes, bytes], ...]:
    """Make the header that says when to try again: whole seconds, at least one."""
    return ((b"retry-after", b"%d" % max(1, math.ceil(seconds))),)


def invalid(message: str, field: str | None = None) -> ApiError:
    """Make a 400: the client has to change what it sends; ``field``: where, if it is one place."""
    details = None if field is None else [{"field": field, "message": message}]
    return ApiError(400, "VALIDATION_ERROR", message, details=details)


def not_found(message: str = "There is nothing here.") -> ApiError:
    """Make a 404."""
    return ApiError(404, "NOT_FOUND", message)


def unavailable(message: str = "Postgres does not answer. Nothing was done.") -> ApiError:
    """Make a 503: trying again is right."""
    return ApiError(
        503, "UNAVAILABLE", message, headers=retry_after(RETRY_AFTER_UNAVAILABLE_SECONDS)
    )


def rate_limited(message: str, retry_after_seconds: float) -> ApiError:
    """Make a 429."""
    return ApiError(429, "RATE_LIMITED", message, headers=retry_after(retry_after_seconds))
