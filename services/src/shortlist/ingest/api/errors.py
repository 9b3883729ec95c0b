"""What hiring refuses, and what FastAPI does, in the one shape of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from shortlist.domain.hiring.placement import IllegalTransitionError
from shortlist.hiring import errors as hiring
from shortlist.http.errors import CODES, ApiError, unavailable
from shortlist.ingest.api.schemas.fields import PATTERNS_TOLD
from shortlist.ingest.endpoint import ClientGoneError, as_api_error, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shortlist.ingest.endpoint import Answer

MOST_DETAILS = 50
"""Of one refusal: 1 000 ids may all be wrong."""


def answer_to(error: Exception, route: str) -> Answer:
    """Make the answer to a call that failed; a bug is logged."""
    if isinstance(error, ClientGoneError):
        raise error
    return refusal(_refused(error) or error, route)


def known(error: Exception) -> ApiError | None:
    """Return a refusal as its answer; None for a bug."""
    return _refused(error) or as_api_error(error)


def _refused(error: Exception) -> ApiError | None:
    """Return what hiring or FastAPI refuses as an answer; None for any other error."""
    if isinstance(error, RequestValidationError):
        return wrong_fields([_field_and_message(one) for one in error.errors()])
    if isinstance(error, HTTPException):
        return _of_framework(error)
    if isinstance(error, hiring.InvalidError):
        return wrong_fields([(problem.field, problem.message) for problem in error.problems])
    if isinstance(error, hiring.BusyError):
        return unavailable(str(error))
    if isinstance(error, hiring.ConflictError):
        return ApiError(409, error.code, str(error))
    found = next((of for kind, of in _REFUSALS.items() if isinstance(error, kind)), None)
    return None if found is None else ApiError(*found, str(error))


_REFUSALS: dict[type[Exception], tuple[int, str]] = {
    hiring.NotFoundError: (404, "NOT_FOUND"),
    hiring.GoneError: (410, "GONE"),
    hiring.KeyReusedError: (422, "IDEMPOTENCY_KEY_REUSED"),
    IllegalTransitionError: (422, "INVALID_TRANSITION"),
}


def _of_framework(error: HTTPException) -> ApiError:
    headers = tuple(
        (name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()
    )
    code = CODES.get(error.status_code, "VALIDATION_ERROR")
    message = "There is nothing here." if code == "NOT_FOUND" else f"{error.detail}."
    return ApiError(error.status_code, code, message, headers=headers)


def wrong_fields(problems: Sequence[tuple[str, str]]) -> ApiError:
    """Make a 400 from fields and what is wrong with each; a field ``""`` is the whole body."""
    told = [(field, _sentence(message)) for field, message in problems[:MOST_DETAILS]]
    message = " ".join(f"{field}: {text}" if field else text for field, text in told[:3])
    details = [{"field": field, "message": text} for field, text in told if field]
    return ApiError(400, "VALIDATION_ERROR", message, details=details or None)


def _field_and_message(error: dict[str, Any]) -> tuple[str, str]:
    """Name a field as the client does; pydantic's messages never repeat what was sent."""
    return ".".join(_names(error["loc"][1:])), _told(error)


def _told(error: dict[str, Any]) -> str:
    """Return pydantic's message, or ours where that names a class or a pattern of our code."""
    more = error.get("ctx", {})
    if "class_name" in more:
        return "Input should be an object"
    message: str = PATTERNS_TOLD.get(more.get("pattern"), error["msg"])
    return message.removeprefix("Value error, ")


def _names(place: Iterable[str | int]) -> Iterable[str]:
    """Yield the names in a place, without those that pydantic makes up for itself."""
    return (str(name) for name in place if not (isinstance(name, str) and "[" in name))


def _sentence(message: str) -> str:
    return message if message.endswith(".") else f"{message}."
