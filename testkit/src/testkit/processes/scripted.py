"""A scorer that does what a test tells it."""

from __future__ import annotations

import asyncio

from shortlist.domain.line.scoring import Score


class Scripted:
    """A scorer that does what it is told, in turn; the last of them for ever."""

    name = "scripted"

    def __init__(self, *script: Score | Exception | asyncio.Event) -> None:
        self.script = list(script)
        self.calls = 0
        self.running = 0

    async def score(self, payload: str) -> Score:
        del payload
        step = self.script[min(self.calls, len(self.script) - 1)]
        self.calls += 1
        self.running += 1
        try:
            if isinstance(step, asyncio.Event):
                await step.wait()
                return Score(1.0)
            if isinstance(step, Exception):
                raise step
            return step
        finally:
            self.running -= 1

    async def close(self) -> None:
        pass

    async def until_running(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.running < count:
                await asyncio.sleep(0.01)
