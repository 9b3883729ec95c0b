"""How one notices that Redis lost a pipeline's memory, or is another server than it was.

A key of each pipeline, beside its line, so that in a cluster the loss of one node is noticed. It is
gone when Redis lost its memory. It names the run of the server on which everything was in the line:
a replica that became the primary, a server that was restored, or one that was started again has
the key and another run, and may lack what came last.

While everything unfinished is being published again the key says so. It is made good only if it
is still there at the end, on the same run: a Redis that forgot once more meanwhile is noticed as
well, and so is a leader that died halfway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from shortlist.storage.redis import keys
from shortlist.storage.redis.scripts import SCRIPTS

if TYPE_CHECKING:
    from uuid import UUID

    from shortlist.domain.line.application import PipelineName
    from shortlist.storage.redis import Redis

Memory = Literal["whole", "gone", "of another server"]

_RESTORING = "restoring"


async def memory(redis: Redis, pipeline: PipelineName) -> Memory:
    """Tell whether Redis still has everything of a pipeline that was put into it."""
    value, run = await SCRIPTS["read_epoch"].run(redis, [keys.epoch(pipeline)])
    if not value or value.startswith(_RESTORING):
        return "gone"
    return "whole" if value.endswith(run) else "of another server"


async def begin_restoring(redis: Redis, pipeline: PipelineName, epoch: UUID) -> None:
    """Mark that everything is being published again."""
    await SCRIPTS["begin_epoch"].run(redis, [keys.epoch(pipeline)], f"{_RESTORING} {epoch}")


async def finish_restoring(redis: Redis, pipeline: PipelineName, epoch: UUID) -> bool:
    """Mark that everything is there; False when Redis forgot meanwhile, or another began anew."""
    texts = f"{_RESTORING} {epoch}", str(epoch)
    return bool(await SCRIPTS["finish_epoch"].run(redis, [keys.epoch(pipeline)], *texts))
