"""What to do after an attempt that gave no score. Returns a decision; the worker acts on it.

The wait is exponential with full jitter ("Exponential Backoff And Jitter", AWS Architecture
Blog, 2015): uniform between nothing and the ceiling, so that a crowd of failures spreads out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

FailureKind = Literal["temporary", "permanent", "throttled", "bug"]
"""Why an attempt ended: worth another try; never worth one; the model asked us to wait, or refuses
everything (costs no try); we do not know how to go on, and it may be so for every application. What
its worker left open when it vanished is `shortlist.domain.line.suspicion`'s."""

BUG_BASE_SECONDS = 5.0
BUG_CEILING_SECONDS = 300.0
"""After a bug an application waits for 5 to 10 s, then twice as long each time, up to 150 to 300 s:
a release that breaks every score is noticed and taken back before it costs much."""

BUG_ATTEMPTS_WITHOUT_OTHERS = 25
"""Attempts after which a bug fails an application though no other one was scored since its last:
50 minutes after the first, at least (155 s for five waits, then 19 of 150 s and more). Until then
it may be every application's, and so none's."""


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
    others_end: bool = False,
) -> TryAgain | GiveUp:
    """Decide what follows an attempt without a score.

    Args:
        kind: how the attempt ended.
        errors: attempts that ended in an error so far, this one included.
        chance: uniform in [0, 1).
        policy: the bounds.
        throttled: attempts that ended because the model asked us to wait, this one included.
        retry_after_seconds: what the model asked for; never undercut.
        others_end: another application of the pipeline was scored since this one's last error;
            looked up where it matters (`asks_for_others`).
    """
    if kind == "permanent":
        return GiveUp()
    if kind == "temporary":
        if errors >= policy.max_attempts:
            return GiveUp()
        return TryAgain(max(retry_after_seconds, full_jitter(errors, chance, policy)))
    if kind == "throttled":
        return TryAgain(max(retry_after_seconds, full_jitter(throttled, chance, policy)))
    if kind == "bug":
        if errors >= (policy.max_attempts if others_end else BUG_ATTEMPTS_WITHOUT_OTHERS):
            return GiveUp()
        return TryAgain(bug_backoff_seconds(errors, chance))
    assert_never(kind)


def asks_for_others(kind: FailureKind, errors: int, policy: RetryPolicy) -> bool:
    """Tell whether `decide_retry` must be told of other applications."""
    return kind == "bug" and errors >= policy.max_attempts


def bug_backoff_seconds(failures: int, chance: float) -> float:
    """Draw seconds to wait after the n-th bug: uniform from half of the ceiling to the ceiling.

    "Equal jitter" of the same source: with full jitter a crowd could use up its attempts at once.
    """
    exponent = min(failures, 32)
    ceiling: float = min(BUG_CEILING_SECONDS, BUG_BASE_SECONDS * 2**exponent)
    return ceiling * (1 + chance) / 2


def full_jitter(failures: int, chance: float, policy: RetryPolicy) -> float:
    """Draw seconds to wait after the n-th failure: uniform in [0, min(ceiling, base * 2^n))."""
    exponent = min(failures, 32)  # 2^32 half seconds are longer than any ceiling
    ceiling: float = min(policy.ceiling_seconds, policy.base_seconds * 2**exponent)
    return chance * ceiling
