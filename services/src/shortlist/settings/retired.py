"""Variables that were settings once, for those who still set them: no refusal, and no silence."""

from __future__ import annotations

import os

_NO_EFFECT = "is no setting any more and has no effect"

RETIRED = {
    "SHORTLIST_ACCEPT_BACKLOG": _NO_EFFECT,
    "SHORTLIST_ACCEPT_FLUSHERS": _NO_EFFECT,
    "SHORTLIST_MAINTENANCE_LEASE_SECONDS": _NO_EFFECT,
    "SHORTLIST_READ_CONNECTIONS": _NO_EFFECT,
    "SHORTLIST_SWEEP_INTERVAL_SECONDS": _NO_EFFECT,
    "SHORTLIST_TRACE_SAMPLE_RATIO": "has no effect any more: set OTEL_TRACES_SAMPLER_ARG",
}
"""A variable, and what became of it."""


def retired() -> dict[str, str]:
    """Return those of them that are set, and what became of each."""
    return {name: why for name, why in RETIRED.items() if name in os.environ}
