"""What the operator measures of itself and of what it decides."""

from __future__ import annotations

from contextlib import suppress

from prometheus_client import Counter, Gauge, Histogram

DESIRED = Gauge("shortlist_operator_desired_replicas", "Workers decided on.", ["pipeline"])
READY = Gauge("shortlist_operator_ready_replicas", "Workers that are ready.", ["pipeline"])
BUDGET = Gauge("shortlist_operator_connection_budget", "Connections for workers.", ["pipeline"])
HELD = Gauge(
    "shortlist_operator_connections_held", "The more of granted and open, summed.", ["pipeline"]
)
WAITERS = Gauge(
    "shortlist_operator_waiters",
    "Applications that workers would hold but have no connections for.",
    ["pipeline"],
)
TICK_SECONDS = Histogram(
    "shortlist_operator_tick_seconds",
    "One look, decision and its acts.",
    ["pipeline"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
TICK_FAILURES = Counter(
    "shortlist_operator_tick_failures", "Looks or acts that failed.", ["pipeline", "at"]
)
SCALED = Counter("shortlist_operator_scaled", "Changes of replicas.", ["pipeline", "direction"])
ACTING = Gauge("shortlist_operator_acting", "1 while this process holds the Lease.")


def forget(pipeline: str) -> None:
    """Forget a pipeline that is gone: no alert shall fire for it any more."""
    for gauge in (DESIRED, READY, BUDGET, HELD, WAITERS):
        with suppress(KeyError):
            gauge.remove(pipeline)
