"""What all workers of a pipeline share while whatever it asks of its model is refused.

One key says why, and one who asks again: the worker that sets it may, until it runs out. So a
refused pipeline makes one request for each `RefusedError.ask_again_seconds`, however many workers
it has. Both have a time to live: nothing is left behind by workers that are gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.line.scoring import LONGEST_PAUSE_SECONDS
from shortlist.storage.redis import keys
from shortlist.storage.redis.scripts import SCRIPTS

if TYPE_CHECKING:
    from shortlist.domain.line.application import PipelineName, WorkerId
    from shortlist.storage.redis import Redis

REMEMBERED_SECONDS = 600.0
"""A pipeline in which nothing asked again for so long begins anew: all workers try."""

_REASON_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why everything is refused, and how often that is looked into."""

    why: str
    ask_again_seconds: float


async def refuse(redis: Redis, pipeline: PipelineName, refusal: Refusal) -> None:
    """Have all workers of a pipeline wait."""
    text = f"{refusal.ask_again_seconds:g} {refusal.why[:_REASON_CHARACTERS]}"
    milliseconds = _milliseconds(refusal.ask_again_seconds)
    async with redis.pipeline(transaction=False) as pipe:
        pipe.set(keys.refusal(pipeline), text, px=_milliseconds(REMEMBERED_SECONDS))
        pipe.set(keys.probe(pipeline), "refused", nx=True, px=milliseconds)
        await pipe.execute()


async def may_ask(
    redis: Redis, pipeline: PipelineName, worker_id: WorkerId, ask_again_seconds: float
) -> bool:
    """Tell whether this worker is the one to ask again."""
    bounds = str(_milliseconds(ask_again_seconds)), str(_milliseconds(LONGEST_PAUSE_SECONDS))
    may = await SCRIPTS["may_ask"].run(redis, [keys.probe(pipeline)], str(worker_id), *bounds)
    return bool(may)


async def did_not_ask(redis: Redis, pipeline: PipelineName) -> None:
    """Let another worker ask: the one that was to had nothing to ask about."""
    await redis.delete(keys.probe(pipeline))


async def lift(redis: Redis, pipeline: PipelineName) -> None:
    """Lift the refusal: nothing is refused any more."""
    await redis.delete(keys.refusal(pipeline), keys.probe(pipeline))


async def current(redis: Redis, pipeline: PipelineName) -> Refusal | None:
    """Read what is refused now; None when nothing is."""
    text = await redis.get(keys.refusal(pipeline))
    if text is None:
        return None
    seconds, _, why = str(text).partition(" ")
    return Refusal(why, float(seconds))


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
