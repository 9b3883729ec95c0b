"""What a client is told when a call cannot be done, in the one shape (`shortlist.http.errors`).

Messages never repeat what the client sent.
"""

from __future__ import annotations

import math
from typing import Any

from shortlist.http.errors import RETRY_AFTER_UNAVAILABLE_SECONDS, error_body


class ApiError(Exception):
    """An answer that is not a success; raised anywhere below an endpoint."""

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
        """The answer's JSON."""
        return error_body(str(self), self.code, self.details)


def retry_after(seconds: float) -> tuple[tuple[bytes, bytes], ...]:
    """The header that says when to try again: whole seconds, at least one."""
    return ((b"retry-after", b"%d" % max(1, math.ceil(seconds))),)


def invalid(message: str, details: Any = None) -> ApiError:
    """400: the client has to change what it sends."""
    return ApiError(400, "VALIDATION_ERROR", message, details=details)


def not_found(message: str = "There is nothing here.") -> ApiError:
    """404."""
    return ApiError(404, "NOT_FOUND", message)


def unavailable(message: str = "Postgres does not answer. Nothing was done.") -> ApiError:
    """503: trying again is right."""
    return ApiError(
        503, "UNAVAILABLE", message, headers=retry_after(RETRY_AFTER_UNAVAILABLE_SECONDS)
    )


def rate_limited(message: str, retry_after_seconds: float) -> ApiError:
    """429."""
    return ApiError(429, "RATE_LIMITED", message, headers=retry_after(retry_after_seconds))
