"""The scorers: what turns a payload into a score. One file each; `make_scorer` loads one."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shortlist.domain.line.scoring import Scorer
    from shortlist.settings import WorkerSettings


def make_scorer(settings: WorkerSettings) -> Scorer:
    """Make the scorer that the settings name; the caller closes it."""
    if settings.scorer == "claude":
        # The SDK takes 0.5 s to import, which a simulated worker need not wait for.
        from shortlist.worker.scorers.claude.scorer import ClaudeScorer

        return ClaudeScorer(settings)
    from shortlist.worker.scorers.simulated import SimulatedScorer

    return SimulatedScorer(
        settings.service_seconds,
        settings.service_cv,
        random.Random(),  # service times are no secret
    )
