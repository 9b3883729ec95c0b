"""What a peer offers, and what it is told."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

_VARIABLE = "SHORTLIST_BENCH_SETUP"

TABLE = """
CREATE TABLE IF NOT EXISTS bench_rows (
    job   bigint NOT NULL,
    event text NOT NULL,
    pid   integer NOT NULL,
    at    timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
"""Where every peer's job writes its row; see ``job.py``."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Where a peer's worker works and how. Times are seconds."""

    database_url: str
    redis_url: str
    concurrency: int
    service_seconds: float
    reliable: bool = False
    """Survive a killed worker, as fast as the library can; starts of jobs are recorded too."""

    @classmethod
    def from_environment(cls) -> Setup:
        """Read what the parent process decided."""
        return msgspec.json.decode(os.environ[_VARIABLE], type=cls)

    @property
    def environment(self) -> dict[str, str]:
        """For a child process."""
        return {_VARIABLE: msgspec.json.encode(asdict(self)).decode()}

    @property
    def longest_job_seconds(self) -> int:
        """For libraries that tell a dead worker only by a job's time-out: the least safe one."""
        return int(self.service_seconds) + 2


SILENCE_SECONDS = 3
"""After so long without a sign of life a worker is dead, where a library knows signs of life."""

POLL_SECONDS = 1
"""How often a library looks for dead workers, where that can be set."""


class Peer(Protocol):
    """A module of this package."""

    async def prepare(self) -> None:
        """Make schema or queues."""
        ...

    async def enqueue(self, jobs: Sequence[int]) -> None:
        """Submit jobs by their numbers, each by a call of its own, as a web handler would."""
        ...

    def worker_command(self) -> list[str]:
        """Return the library's own worker command."""
        ...


async def each(
    submit: Callable[[int], Awaitable[object]], jobs: Sequence[int], at_once: int = 64
) -> None:
    """Submit jobs from 64 callers side by side, as many as connections load our front door."""
    numbers = iter(jobs)

    async def caller() -> None:
        for number in numbers:
            await submit(number)

    await asyncio.gather(*(caller() for _ in range(at_once)))
