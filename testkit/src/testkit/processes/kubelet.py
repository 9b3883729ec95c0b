"""What a container's limit does to a worker that grows."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testkit.processes.stack import Service

_POLL_INTERVAL_SECONDS = 0.05


@asynccontextmanager
async def memory_limited(workers: list[Service], limit_bytes: int) -> AsyncIterator[None]:
    """For the length of a block, kill what has more memory than that."""
    keeper = asyncio.create_task(_keep(workers, limit_bytes))
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


async def _keep(workers: list[Service], limit_bytes: int) -> None:
    while True:
        for worker in workers:
            if resident_bytes(worker.process.pid) > limit_bytes:
                worker.kill()
        await asyncio.sleep(_POLL_INTERVAL_SECONDS)


def resident_bytes(pid: int) -> int:
    """How much memory a process has; 0 when it is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
