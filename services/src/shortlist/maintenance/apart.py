"""Does a step for each pipeline, side by side: the trouble of one is not that of the others.

In a Redis Cluster each pipeline is on one node, and a node may be away for long, or frozen: then
each of its commands takes until its time-out. A step that fails is counted and said as its own
pipeline's, and the next turn tries it again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, TypeVar

from shortlist.storage.postgres.queries.leases import NotLeadingError
from shortlist.storage.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from shortlist.domain.line.application import PipelineName


class OfPipeline(Protocol):
    """Something that belongs to one pipeline."""

    @property
    def pipeline(self) -> PipelineName:
        """The pipeline's name."""


T = TypeVar("T", bound=OfPipeline)


class Apart:
    """One agent's steps, each for one pipeline."""

    def __init__(self, agent: str) -> None:
        """``agent``: for people who read the log."""
        self._agent = agent
        self._troubles: dict[PipelineName, Trouble] = {}

    async def each(self, things: Iterable[T], step: Callable[[T], Awaitable[None]]) -> None:
        """Return when the step was done, or has failed, for each. Raises `NotLeadingError` only."""
        steps = (self._one(thing, step) for thing in things)
        # All of them end before the first error is raised: none is left running.
        for end in await asyncio.gather(*steps, return_exceptions=True):
            if end is not None:
                raise end

    async def _one(self, thing: T, step: Callable[[T], Awaitable[None]]) -> None:
        trouble = self._trouble_of(thing.pipeline)
        try:
            await step(thing)
        except NotLeadingError:
            raise
        except Exception as error:  # one bad pipeline must not stop all the others
            trouble.met(error)
        else:
            trouble.over()

    def _trouble_of(self, pipeline: PipelineName) -> Trouble:
        if pipeline not in self._troubles:
            step = f"maintaining: {self._agent} of {pipeline}"
            self._troubles[pipeline] = Trouble(step, "server")
        return self._troubles[pipeline]
