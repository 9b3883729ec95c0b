"""The worker processes of one pipeline: started, and stopped one by one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from shortlist.domain.sizing.pipeline import ScoringPipeline
    from shortlist.embedded.supervision.child import Child


class WorkerGroup:
    """One pipeline's workers."""

    def __init__(self, pipeline: ScoringPipeline, make: Callable[[int], Child]) -> None:
        """``make`` makes a worker with a number that no other worker's name has."""
        self.pipeline = pipeline
        self._make = make
        self.children: list[Child] = []
        """Those that start, work or drain: what the scaling policy calls replicas."""
        self.stopping: dict[Child, asyncio.Task[None]] = {}
        """Those that were told to finish what they hold and end."""

    def start(self, count: int) -> None:
        """Start so many more."""
        for _ in range(count):
            child = self._make(self._lowest_free_number())
            child.start()
            self.children.append(child)

    def stop(self, child: Child) -> None:
        """Let one finish what it holds and go."""
        self.children.remove(child)
        task = asyncio.create_task(child.drain(), name=f"stopping {child.name}")
        self.stopping[child] = task
        task.add_done_callback(lambda _: self.stopping.pop(child, None))

    def _lowest_free_number(self) -> int:
        taken = {child.name.rpartition("-")[2] for child in (*self.children, *self.stopping)}
        return next(n for n in range(1, len(taken) + 2) if str(n) not in taken)
