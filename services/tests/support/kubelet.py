"""What Kubernetes does to a worker that hangs or grows: liveness probes and a limit on memory."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support.stack import status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.stack import Service

_PERIOD_SECONDS = 0.3
_PROBE_TIMEOUT_SECONDS = 1.5
_FAILURES = 3


@asynccontextmanager
async def kubelet(workers: list[Service], *, limit_bytes: int = 2**62) -> AsyncIterator[None]:
    """For the length of a block, kill what does not answer (any more) or is too big."""
    tasks = [asyncio.create_task(_keep(worker, limit_bytes)) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep(worker: Service, limit_bytes: int) -> None:
    failures: Counter[int] = Counter()  # by process id: a successor starts anew
    while True:
        await asyncio.sleep(_PERIOD_SECONDS)
        pid = worker.process.pid
        if resident_bytes(pid) > limit_bytes:
            worker.kill()
        elif await status_of(f"{worker.url}/healthz", _PROBE_TIMEOUT_SECONDS) == 200:
            failures[pid] = 0
        elif pid in failures:  # else it never answered: it is starting
            failures[pid] += 1
            if failures[pid] >= _FAILURES and pid == worker.process.pid:
                worker.kill()


def resident_bytes(pid: int) -> int:
    """How much memory a process has; 0 when it is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
