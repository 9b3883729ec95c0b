"""What a scoring process tells its worker: a score, or how it failed, as one line of JSON.

JSON, because the worker must not trust what a text may have got into its hands; and of ASCII
letters alone, so that half a character of a reply arrives as it was given.
"""

from __future__ import annotations

import json
from typing import Any

from shortlist.domain.errors import ShortlistError
from shortlist.domain.line.scoring import (
    PermanentScoringError,
    RefusedError,
    Score,
    ScoringError,
    TemporaryScoringError,
    ThrottledError,
)


class ScorerBugError(ShortlistError):
    """What the scorer raised is no `ScoringError`; the message is what it was."""


def of_score(score: Score) -> bytes:
    """Encode a score."""
    return _encoded(value=score.value, detail=score.detail, tokens=score.tokens)


def of_error(error: Exception) -> bytes:
    """Encode a failure; what is no `ScoringError` is a bug."""
    if not isinstance(error, ScoringError):
        return _encoded(error="bug", message=f"{type(error).__name__}: {error}", tokens=0)
    return _encoded(tokens=error.tokens, message=str(error), **_kind(error))


def decoded(encoded: bytes) -> Score:
    """Decode a score; raises the `ScoringError` that was sent instead, or `ScorerBugError`."""
    answer = json.loads(encoded)
    if "error" not in answer:
        return Score(answer["value"], answer["detail"], answer["tokens"])
    if answer["error"] == "bug":
        raise ScorerBugError(answer["message"])
    error = _error(answer)
    error.tokens = answer["tokens"]
    raise error


def _kind(error: ScoringError) -> dict[str, Any]:
    if isinstance(error, ThrottledError):
        return {"error": "throttled", "seconds": error.retry_after_seconds}
    if isinstance(error, RefusedError):
        return {"error": "refused", "seconds": error.ask_again_seconds}
    return {"error": "permanent" if isinstance(error, PermanentScoringError) else "temporary"}


def _error(answer: dict[str, Any]) -> ScoringError:
    kind, message = answer["error"], answer["message"]
    if kind == "throttled":
        return ThrottledError(message, answer["seconds"])
    if kind == "refused":
        return RefusedError(message, answer["seconds"])
    return PermanentScoringError(message) if kind == "permanent" else TemporaryScoringError(message)


def _encoded(**answer: Any) -> bytes:
    return json.dumps(answer).encode("ascii")
