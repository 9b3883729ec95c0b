"""Every metric of our processes (the operator's own are in `shortlist_operator.metrics`).

Names follow Prometheus: base units, ``_total``. ``docs/metrics.md`` is made from this module.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

LATENCY_BUCKETS = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    1.5,
    2.0,
    2.5,
    3.0,
    4.0,
    5.0,
    7.5,
    10.0,
    15.0,
    20.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
)
"""Seconds; dense around one service time, wide enough for a long line."""

ACCEPTED = Counter("shortlist_accepted", "Applications answered 202.", ["pipeline"])
REFUSED = Counter("shortlist_refused", "Submissions refused, by reason.", ["reason"])
ACCEPT_SECONDS = Histogram(
    "shortlist_accept_seconds",
    "Time from a decoded body to its commit.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
GROUP_SIZE = Histogram(
    "shortlist_group_commit_size",
    "Applications per commit.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
API_ANSWERS = Counter(
    "shortlist_api_answers", "Calls of `/api` answered, by route and status.", ["route", "status"]
)
API_SECONDS = Histogram(
    "shortlist_api_seconds",
    "Time from a request's head to its answer, for calls of `/api` but streams.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
CLIENTS_OPEN = Gauge(
    "shortlist_client_connections_open", "Connections of clients that are open.", ["listener"]
)
CLIENTS_ALLOWED = Gauge(
    "shortlist_client_connections_allowed", "How many may be open at once.", ["listener"]
)
CLIENTS_GIVEN_UP = Counter(
    "shortlist_client_connections_given_up",
    "Connections that were ended because their place or their memory was needed, by what they did.",
    ["state"],
)
CLIENT_BYTES = Gauge(
    "shortlist_client_bytes", "Memory that clients' unfinished requests and connections take."
)
CLIENT_BYTES_ALLOWED = Gauge("shortlist_client_bytes_allowed", "How much it may be.")
PUBLISH_FAILURES = Counter(
    "shortlist_publish_failures", "Applications that ingest could not put on the line."
)
LINE_WAITING = Gauge("shortlist_line_waiting", "Entries that wait for a worker.", ["pipeline"])
LINE_DELIVERED = Gauge("shortlist_line_delivered", "Entries delivered, not done.", ["pipeline"])
OLDEST_AGE_SECONDS = Gauge(
    "shortlist_line_oldest_age_seconds", "Age of the entry at the head of the line.", ["pipeline"]
)

IN_FLIGHT = Gauge("shortlist_in_flight", "Claimed and not yet written.", ["pipeline"])
WORKER_SLOTS = Gauge("shortlist_worker_slots", "Applications that may be in flight.", ["pipeline"])
CONNECTIONS_OPEN = Gauge("shortlist_connections_open", "Postgres connections open.", ["process"])
CONNECTIONS_GRANTED = Gauge(
    "shortlist_connections_granted", "Postgres connections granted.", ["process"]
)
COMPLETED = Counter("shortlist_completed", "Verdicts written.", ["pipeline", "status"])
ATTEMPTS_ENDED = Counter(
    "shortlist_attempts_ended", "Attempts that ended without a verdict.", ["pipeline", "outcome"]
)
MODEL_REFUSES = Gauge(
    "shortlist_model_refuses", "1 while the model refuses whatever a pipeline asks.", ["pipeline"]
)
FENCED = Counter(
    "shortlist_fenced", "Verdicts that did not count: the claim was lost.", ["pipeline"]
)
SCORE_SECONDS = Histogram(
    "shortlist_score_seconds", "Time in the scorer.", ["pipeline"], buckets=LATENCY_BUCKETS
)
SUBMIT_TO_SCORED_SECONDS = Histogram(
    "shortlist_submit_to_scored_seconds",
    "Time from acceptance to verdict.",
    ["pipeline"],
    buckets=LATENCY_BUCKETS,
)

FAULTS = Counter(
    "shortlist_faults",
    "Steps that a server did not do, by whose trouble it was.",
    ["step", "fault"],
)
LEADING = Gauge("shortlist_maintenance_leading", "1 while this process leads maintenance.")
REPUBLISHED = Counter(
    "shortlist_republished", "Applications put back in the line.", ["pipeline", "why"]
)
REDIS_LOST = Counter(
    "shortlist_redis_memory_lost", "Times Redis was found to have lost its memory."
)
RETAINED = Counter("shortlist_retention_removed", "Applications removed by retention.", ["action"])
RETRIES_WAITING = Gauge(
    "shortlist_retries_waiting", "Applications that wait for a retry.", ["pipeline"]
)
SUSPECTS = Gauge(
    "shortlist_suspects",
    "Applications whose workers vanished twice: scored apart until they end.",
    ["pipeline"],
)
POISONOUS = Counter(
    "shortlist_poisonous",
    "Applications that failed because what scored them died, a process of its own or the worker.",
    ["pipeline"],
)

HIRING_PLACES = Gauge(
    "shortlist_hiring_places",
    "Places of the openings that have not ended: held, or free.",
    ["order", "state"],
)
HIRING_WAITING = Gauge(
    "shortlist_hiring_waiting", "Applicants who wait in the lines of openings.", ["order"]
)
HIRING_UNFILLED = Gauge(
    "shortlist_hiring_unfilled_openings",
    "Openings with a free place beside an applicant who waits, though they are filled by now.",
    ["order"],
)
HIRING_OVERDUE_SECONDS = Gauge(
    "shortlist_hiring_overdue_seconds",
    "For how long the oldest deadline, or score, had been due when the leader last looked.",
    ["agent"],
)
HIRING_CYCLE_AGE_SECONDS = Gauge(
    "shortlist_hiring_cycle_age_seconds",
    "Time since the leader last finished a look at deadlines, or scores. Only the leader has it.",
    ["agent"],
)
HIRING_LATENESS_SECONDS = Histogram(
    "shortlist_hiring_lateness_seconds",
    "Time from a deadline, or from a score, to the leader's commit of what follows from it.",
    ["agent"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0),
)
HIRING_LOCK_WAIT_SECONDS = Histogram(
    "shortlist_hiring_lock_wait_seconds",
    "Time that a transaction waited for the locks of its openings.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
HIRING_LOCK_HOLD_SECONDS = Histogram(
    "shortlist_hiring_lock_hold_seconds",
    "Time for which a transaction held the locks of its openings, its commit included.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
HIRING_RETAINED = Counter(
    "shortlist_hiring_retention_removed",
    "What hiring's retention removed: answers to calls with a key, or applicants.",
    ["what"],
)
