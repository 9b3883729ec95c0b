"""What a scorer takes and gives, and the ways in which it may fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from shortlist.domain.errors import ShortlistError

LONGEST_PACE_SECONDS = 10.0
"""A request that a limit would keep longer waits in the line instead, and holds no slot there."""

LEAST_PAUSE_SECONDS = 1.0
"""A model's service that asks for less gets so much: no pause would be a loop of requests."""

LONGEST_PAUSE_SECONDS = 300.0
"""A model's service that asks for more is asked again by then: one odd header must not stop a
pipeline for hours."""


@dataclass(frozen=True, slots=True)
class Score:
    """``value`` is 0 (worst) to 100 (best), two decimals. ``detail`` is kept with it.

    ``tokens`` is what it took, input and output together; 0 for a scorer that counts none.
    """

    value: float
    detail: dict[str, Any] = field(default_factory=dict)
    tokens: int = 0


class ScoringError(ShortlistError):
    """Scoring failed; the subclass says what to do about it."""

    tokens: int = 0
    """What a reply that was no score took all the same."""


class TemporaryScoringError(ScoringError):
    """Worth another try: a broken reply, a refusal, a time-out, a server error."""


class PermanentScoringError(ScoringError):
    """No try will help with this text: others are scored, and it is not."""


class ThrottledError(ScoringError):
    """The model asked us to wait (429, 529). Costs no attempt."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        """Keep how long the service asked us to wait, in seconds."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RefusedError(ScoringError):
    """Whatever is asked is refused: a key, a model, an account, the way to the service.

    It says nothing of the application, which is no worse for it. The pipeline waits, says why, and
    asks again with one application each ``ask_again_seconds``.
    """

    def __init__(self, message: str, ask_again_seconds: float) -> None:
        """``message`` is shown to people: what is refused, in the service's own words."""
        super().__init__(message)
        self.ask_again_seconds = ask_again_seconds


class CrashedError(ScoringError):
    """The payload ended the process that scored it, and nothing else; the message says how."""


class NotIsolatedError(ScoringError):
    """A suspect found no process of its own, or none that told how it ended: it proves nothing."""


class Scorer(Protocol):
    """Scores payloads; many calls run at once on one event loop."""

    name: str
    """For traces."""

    async def score(self, payload: str) -> Score:
        """Score one payload, or raise a `ScoringError`. Cancellation must be safe at any point."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...
