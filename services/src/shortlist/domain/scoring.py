"""What a scorer takes and gives, and the ways in which it may fail."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Protocol

LONGEST_PACE_SECONDS = 10.0
"""A request that a limit would keep longer waits in the line instead, and holds no slot there."""


@dataclass(frozen=True, slots=True)
class Score:
    """``value`` is 0 (worst) to 100 (best), two decimals. ``detail`` is kept with it.

    ``tokens`` is what it took, input and output together; 0 for a scorer that counts none.
    """

    value: float
    detail: dict[str, Any] = field(default_factory=dict)
    tokens: int = 0


class ScoringError(Exception):
    """Scoring failed; the subclass says what to do about it."""

    tokens: int = 0
    """What a reply that was no score took all the same."""


class TemporaryScoringError(ScoringError):
    """Worth another try: a broken reply, a refusal, a time-out, a server error."""


class PermanentScoringError(ScoringError):
    """No try will help: the request itself is wrong, or the key is."""


class Throttled(ScoringError):  # noqa: N818 (a state of the model's service, not an error of ours)
    """The model asked us to wait (429, 529). Costs no attempt."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        """Keep how long the service asked us to wait, in seconds."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


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


def score_of_payload(payload: str) -> float:
    """A score in [0, 100] with two decimals that depends only on the payload, spread evenly."""
    digest = hashlib.sha256(payload.encode()).digest()
    return int.from_bytes(digest[:8], "big") % 10_001 / 100
