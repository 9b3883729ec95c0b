"""Ends this worker's process when its event loop hangs, supervised or not.

A scorer that loops for ever keeps its worker from everything else: from its heartbeat, from
SIGTERM, from its liveness probe. In ``perJob`` even what it holds stays held, because its
connections stay open. The timer is the interpreter's own (``faulthandler``): a thread that needs no
lock of the interpreter, so that an endless match in ``re`` cannot keep it waiting. It writes where
every thread stands, which names the culprit, and ends the process; what it held is then rescued as
ever.
"""

from __future__ import annotations

import asyncio
import faulthandler
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from shortlist.runtime import tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HANGING_SECONDS = 20.0
"""Much longer than a loop is kept waiting on a crowded machine, and shorter than the chart's
liveness probe takes (6 failures, 5 s apart): a probe's kill leaves nothing to read."""

_REARM_SECONDS = 1.0


@asynccontextmanager
async def ended_when_hanging(most_seconds: float = math.inf) -> AsyncIterator[None]:
    """End the process when its event loop hangs within this block, be it for ``most_seconds``."""
    hanging_seconds = min(HANGING_SECONDS, most_seconds)
    putting_off = asyncio.create_task(_put_off(hanging_seconds), name="watchdog")
    try:
        yield
    finally:
        await tasks.end([putting_off])
        faulthandler.cancel_dump_traceback_later()


async def _put_off(hanging_seconds: float) -> None:
    while True:
        faulthandler.dump_traceback_later(hanging_seconds, exit=True)
        await asyncio.sleep(min(_REARM_SECONDS, hanging_seconds / 4))
