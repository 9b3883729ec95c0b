"""A scorer that only takes its time. What it gives depends on the payload alone."""

from __future__ import annotations

import asyncio
import hashlib
import math
from typing import TYPE_CHECKING

from shortlist.domain.line.scoring import Score

if TYPE_CHECKING:
    from random import Random


class SimulatedScorer:
    """Waits as a model would, then scores; see `domain.scoring.Scorer`."""

    name = "simulated"

    def __init__(self, service_seconds: float, service_cv: float, chance: Random) -> None:
        """``service_seconds`` is the mean wait, ``service_cv`` its spread (see `draw_seconds`)."""
        self._service_seconds = service_seconds
        self._service_cv = service_cv
        self._chance = chance

    async def score(self, payload: str) -> Score:
        """Score the payload after a service time; never fails."""
        await asyncio.sleep(draw_seconds(self._service_seconds, self._service_cv, self._chance))
        return Score(score_of_payload(payload), {"scorer": "simulated"})

    async def close(self) -> None:
        """Close nothing: it holds nothing."""


def score_of_payload(payload: str) -> float:
    """Compute a score in [0, 100], of two decimals, from the payload alone, spread evenly."""
    digest = hashlib.sha256(payload.encode()).digest()
    return int.from_bytes(digest[:8], "big") % 10_001 / 100


def draw_seconds(mean: float, cv: float, chance: Random) -> float:
    """Draw a service time: constant for a ``cv`` (standard deviation ÷ mean) of 0, else lognormal.

    With s² = ln(1 + cv²) and m = ln(mean) - s²/2 the lognormal has this mean and this spread
    (Johnson, Kotz, Balakrishnan, "Continuous Univariate Distributions", ch. 14).
    """
    if mean == 0 or cv == 0:
        return mean
    variance = math.log1p(cv**2)
    return chance.lognormvariate(math.log(mean) - variance / 2, math.sqrt(variance))
