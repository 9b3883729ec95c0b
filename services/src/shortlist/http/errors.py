"""The one shape of an error, whichever level refuses.

``{"error": {"message": str, "code": str, "details": any or null}}``, as the hiring contract has it.
"""

from __future__ import annotations

from typing import Any

import msgspec

RETRY_AFTER_UNAVAILABLE_SECONDS = 1
"""Postgres mostly comes back within seconds, and a refused client costs little."""

CODES = {
    400: "VALIDATION_ERROR",
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
    """The JSON of an error."""
    return msgspec.json.encode({"error": {"message": message, "code": code, "details": details}})
