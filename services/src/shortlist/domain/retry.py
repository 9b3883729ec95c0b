"""What to do after an attempt that gave no score. Returns a decision; somebody else acts on it.

The wait is exponential with full jitter ("Exponential Backoff And Jitter", AWS Architecture
Blog, 2015): uniform between nothing and the ceiling, so that a crowd of failures spreads out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

FailureKind = Literal["temporary", "permanent", "throttled"]
"""Why an attempt ended: worth another try; never worth one; the model asked us to wait, or refuses
everything (costs no try). What its worker left open when it vanished is
`shortlist.domain.suspicion`'s."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds on trying again. Seconds, except for the count."""

    max_attempts: int = 5
    base_seconds: float = 0.5
    ceiling_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Score it again, not before ``delay_seconds`` have passed."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It failed for good."""


def decide_retry(
    kind: FailureKind,
    *,
    errors: int,
    chance: float,
    policy: RetryPolicy,
    throttled: int = 0,
    retry_after_seconds: float = 0.0,
) -> TryAgain | GiveUp:
    """Decide what follows an attempt without a score.

    Args:
        kind: how the attempt ended.
        errors: attempts that ended in an error so far, this one included.
        chance: uniform in [0, 1).
        policy: the bounds.
        throttled: attempts that ended because the model asked us to wait, this one included.
        retry_after_seconds: what the model asked for; never undercut.
    """
    if kind == "permanent":
        return GiveUp()
    if kind == "temporary":
        if errors >= policy.max_attempts:
            return GiveUp()
        return TryAgain(max(retry_after_seconds, full_jitter(errors, chance, policy)))
    if kind == "throttled":
        return TryAgain(max(retry_after_seconds, full_jitter(throttled, chance, policy)))
    assert_never(kind)


def full_jitter(failures: int, chance: float, policy: RetryPolicy) -> float:
    """Seconds to wait after the n-th failure: uniform in [0, min(ceiling, base * 2^n))."""
    exponent = min(failures, 32)  # 2^32 half seconds are longer than any ceiling
    ceiling: float = min(policy.ceiling_seconds, policy.base_seconds * 2**exponent)
    return chance * ceiling
