"""The one place that puts applications back in the line, for the sweep and for retries."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Literal, TypeVar

from shortlist.runtime.failpoints import failpoint
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shortlist.domain.line.sweep import Position
    from shortlist.storage.redis.line import Entry, Line

T = TypeVar("T")

BATCH = 1000
"""Entries published in one round trip, inside one of the leader's transactions: some 20 ms."""

Why = Literal["abandoned", "unpublished", "redis_lost", "retry"]


async def publish(line: Line, entries: Sequence[Entry], *, why: Why, first: bool) -> list[Position]:
    """Put at most `BATCH` entries on a stream; where they stand."""
    await failpoint("maintenance.before_publish")
    positions = await line.republish(
        entries, by="retry" if why == "retry" else "sweep", first=first
    )
    await failpoint("maintenance.after_publish")
    metrics.REPUBLISHED.labels(line.pipeline, why).inc(len(entries))
    return positions


def batches(items: Sequence[T], size: int = BATCH) -> Iterator[list[T]]:
    """Slices of at most ``size``."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
