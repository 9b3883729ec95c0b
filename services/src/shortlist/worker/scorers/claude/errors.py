"""Says of a failed request to the Messages API whose trouble it is.

* ``pipeline``: a key, a model, an account, an address: whatever is asked will be refused.
* ``capacity``: the service wants to be asked less, or later.
* ``moment``: it may pass, and another try is worth its while.
* ``text``: the request itself is refused. Whether for its text or for what all requests share,
  `ClaudeScorer` finds out by asking about a text that is known to be fine.

One table for each way in which an answer names its cause, the most exact first: the code, the type,
the status. An answer without a type is not the service's own, but of a proxy or of whatever else
listens there: it is never trusted to speak for all requests, as a firewall that dislikes one text
says 403, too.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from shortlist.domain.line.scoring import (
    LEAST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    RefusedError,
    ScoringError,
    TemporaryScoringError,
    ThrottledError,
)
from shortlist.http.retry_after import retry_after_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    import anthropic

Whose = Literal["pipeline", "capacity", "moment", "text"]

THROTTLED_SECONDS = 15.0
"""The wait after a 429 or 529 that names none: a token bucket that refills within a minute
(Anthropic, "Rate limits") has a quarter of its tokens back by then."""

REFUSED_SECONDS = 60.0
"""Between two requests of a pipeline that is refused: a person has to act, and is told so."""

UNREACHABLE_SECONDS = 10.0
"""The same while the service cannot be reached, or fails for all: that may end by itself."""

_UNAVAILABLE = 503

_CODES: dict[str, Whose] = {
    "contract_spend_limit_reached": "pipeline",
    "enforced_spend_limit_reached": "pipeline",
    "linked_organization_spend_limit_reached": "pipeline",
    "linked_organization_billing_unavailable": "pipeline",
    "organization_on_hold": "pipeline",
    "organization_type_not_supported": "pipeline",
    "parent_organization_required": "pipeline",
    "claude_code_key_creator_not_member": "pipeline",
    "claude_code_version_too_old": "pipeline",
    "cmek_context_unavailable": "pipeline",
    "cmek_key_disabled": "pipeline",
    "cmek_key_network_blocked": "pipeline",
    "cmek_key_unreachable": "pipeline",
    "sandbox_egress_restricted": "pipeline",
    "ramp_limit_exceeded": "capacity",
    "request_body_encoding_invalid": "text",
    "request_body_encoding_unsupported": "text",
    "request_body_too_large_after_decoding": "text",
}
"""``error.details.error_code``: those of the SDK's ``types/shared`` that a message may meet."""

_TYPES: dict[str, Whose] = {
    "authentication_error": "pipeline",
    "permission_error": "pipeline",
    "billing_error": "pipeline",
    "not_found_error": "pipeline",  # the model: nothing else is looked up
    "rate_limit_error": "capacity",
    "overloaded_error": "capacity",
    "timeout_error": "moment",
    "api_error": "moment",
    "conflict_error": "moment",
    "invalid_request_error": "text",  # also "credit balance is too low", and parameters of a beta
    "request_too_large": "text",
}
"""``error.type``: those of the SDK's ``ErrorType`` and of the API's document."""

_STATUSES: dict[int, Whose] = {408: "moment", 409: "moment", 425: "moment", 429: "capacity"}
_OVERLOADED = 529  # Anthropic's own

_UNREACHABLE = frozenset(
    {
        "ConnectError",
        "ConnectTimeout",
        "LocalProtocolError",
        "ProxyError",
        "TooManyRedirects",
        "UnsupportedProtocol",
    }
)
"""What the HTTP client calls it when no request got through: a name that is not found, a refused
connection, a certificate, a proxy that wants a password, a header or an address that is none."""


class DoubtfulError(TemporaryScoringError):
    """A request was refused; whether all would be is not known yet."""


def whose(error: anthropic.APIStatusError) -> Whose:
    """Decide whose trouble an answer other than 2xx is."""
    code, kind = _text(error.error_code), _text(error.type)
    for known in (_CODES.get(code), _TYPES.get(kind), _STATUSES.get(error.status_code)):
        if known is not None:
            return known
    return _whose_status(error)


def _whose_status(error: anthropic.APIStatusError) -> Whose:
    """By the status alone: a client's error may be about all requests or about one."""
    status = error.status_code
    asks_to_wait = status == _UNAVAILABLE and "retry-after" in error.response.headers
    if status == _OVERLOADED or asks_to_wait:
        return "capacity"
    return "moment" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "text"  # RFC 9110, 15.6


def error_of_answer(error: anthropic.APIStatusError) -> ScoringError:
    """Return what an answer other than 2xx means for the application."""
    why = _reason(error)
    match whose(error):
        case "pipeline":
            return RefusedError(why, REFUSED_SECONDS)
        case "capacity":
            return ThrottledError(why, wait_seconds(error.response.headers))
        case "moment":
            return TemporaryScoringError(why)
        case "text":
            return DoubtfulError(why)


def wait_seconds(headers: Any) -> float:
    """Return how long the service asks us to wait, bounded both ways."""
    return retry_after_seconds(
        headers,
        default_seconds=THROTTLED_SECONDS,
        least_seconds=LEAST_PAUSE_SECONDS,
        longest_seconds=LONGEST_PAUSE_SECONDS,
    )


def error_without_answer(error: BaseException) -> ScoringError:
    """Return what a request without an answer means for the application."""
    names = [type(cause).__name__ for cause in _causes(error)]
    unreachable = next((name for name in names if name in _UNREACHABLE), None)
    if unreachable is not None:
        why = f"claude: the service cannot be reached ({unreachable})"
        return RefusedError(why, UNREACHABLE_SECONDS)
    return TemporaryScoringError(f"claude: {names[0]}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _reason(error: anthropic.APIStatusError) -> str:
    """Kept with a failed application, so: what the service said, and how to ask it about that."""
    parts = (
        f"claude: {error.status_code} {_text(error.type)}".rstrip(),
        _text(error.api_message)[:200],
        f"request {error.request_id}" if error.request_id else "",
    )
    return "; ".join(part for part in parts if part)


def _text(value: object) -> str:
    """Return an answer's text, where one is expected: it may be anything, or half a letter."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""
