"""What waits for a Redis that hangs is small: ids, and no text of a candidate."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, cast
from uuid import UUID, uuid4

from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId, NewApplication
from shortlist.ingest.publisher import Publisher

if TYPE_CHECKING:
    from shortlist.ingest.admission.line_registry import LineRegistry


class Text(str):
    """A payload of which one can tell whether it is still there."""

    __slots__ = ("__weakref__",)


async def test_what_waits_for_redis_has_no_text() -> None:
    # It first uses the registry in the next turn of the loop.
    publisher = Publisher(cast("LineRegistry", None))
    texts = []
    for _ in range(10):
        payload = Text("p" * 1_000)
        texts.append(weakref.ref(payload))
        one = ApplicationId(UUID(int=uuid4().int))
        publisher.publish([NewApplication(one, DEFAULT_PIPELINE, "Ada", payload)])
    del payload
    assert not [text for text in texts if text() is not None]
    lane = publisher._lanes[DEFAULT_PIPELINE]
    assert len(lane.waiting) == 10
    task = lane.task
    assert task is not None
    task.cancel()
    await asyncio.wait([task])
