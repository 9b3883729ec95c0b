"""Every Redis key that Shortlist uses. Their document is ``docs/redis.md``; a test compares.

All begin with ``sl:``. ``{name}`` is a pipeline's name; the braces of the Redis Cluster hash tag
are kept in the key itself, so that one pipeline's keys live on one shard.
"""

from __future__ import annotations

GROUP = "workers"
"""The consumer group of both streams of each pipeline."""

ENTRY_ID = "id"
"""Field of a stream entry: the application's id, as text."""

ENTRY_TRACEPARENT = "tp"
"""Field of a stream entry: the W3C traceparent of the accepting span, when it was sampled."""

ENTRY_PUBLISHED_BY = "by"
"""Field of a stream entry that did not come from ingest: who put it there."""

PROBE = "sl:probe"
"""String with a time to live: written by readiness checks, to see whether writes are taken."""


def line(pipeline: str) -> str:
    """Stream: applications as they were accepted."""
    return f"sl:{{{pipeline}}}:line"


def again(pipeline: str) -> str:
    """Stream: retries, rescues and what was given back; read before `line`."""
    return f"sl:{{{pipeline}}}:again"


def epoch(pipeline: str) -> str:
    """String: a random id and the run of a server; not as it was: all is published again."""
    return f"sl:{{{pipeline}}}:epoch"


def submissions(pipeline: str) -> str:
    """Counter: applications accepted, ever; monotone until Redis loses its memory."""
    return f"sl:{{{pipeline}}}:submissions"


def beats(pipeline: str) -> str:
    """Hash: worker id → its newest heartbeat, JSON of `storage.redis.heartbeats.Heartbeat`."""
    return f"sl:{{{pipeline}}}:beats"


def grants(pipeline: str) -> str:
    """Hash: worker id → ``{"epoch": n, "connections": n}``, written by `up` or the operator."""
    return f"sl:{{{pipeline}}}:grants"


def drain(pipeline: str) -> str:
    """Set: ids of workers that are to stop pulling; they resume when taken out."""
    return f"sl:{{{pipeline}}}:drain"


def limiter(pipeline: str) -> str:
    """String with a time to live: the model asked the whole pipeline to wait until it is gone."""
    return f"sl:{{{pipeline}}}:pause"


def refusal(pipeline: str) -> str:
    """String with a time to live: why whatever the pipeline asks of its model is refused."""
    return f"sl:{{{pipeline}}}:refusal"


def probe(pipeline: str) -> str:
    """String with a time to live: the worker that asks whether all is still refused."""
    return f"sl:{{{pipeline}}}:probe"


def requests(pipeline: str) -> str:
    """String with a time to live: when its requests so far are paid for (`model_limits`)."""
    return f"sl:{{{pipeline}}}:requests-paid"


def tokens(pipeline: str) -> str:
    """String with a time to live: when its tokens so far are paid for (`model_limits`)."""
    return f"sl:{{{pipeline}}}:tokens-paid"


def events(application_id: str) -> str:
    """Pub/sub channel: each new status of one application, as text."""
    return f"sl:events:{application_id}"


def opening_events(opening_id: int) -> str:
    """Pub/sub channel: the newest sequence of one opening's audit, as text."""
    return f"sl:events:opening:{opening_id}"
