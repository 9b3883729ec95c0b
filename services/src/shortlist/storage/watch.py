"""Finds out that a server is another one than before, for the connections that cannot tell.

A connection goes on to answer after the name in its URL has come to mean another server: the old
primary stays up as a replica, or read-only, or cut off from the new one, or as it was before it was
restored elsewhere. Reads are stale then, and what is written is lost. So each process looks through
a new connection, every `PERIOD_SECONDS`: when that meets another server than the last one did, or
one that has stopped or begun to take writes, every connection opened so far is left, and the next
try opens a new one.

There is one watch for each URL in a process. It begins with the first connection and ends with the
last: it need not be started, so no process can forget to.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import structlog

from shortlist.storage.faults import Fault, fault_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

PERIOD_SECONDS = 1.0
"""Between two observations."""

QUERY_TIMEOUT_SECONDS = 1.0
"""Of one observation.

Every process is whole again within 5 s of the new primary's start, because:

    1.0 s  a look that began just before, at a server that does not answer, is given up
    1.0 s  until the next look, which meets the new primary
    0.1 s  for that look, and for leaving what is open: callers that wait for a reply fail at once
    2.0 s  at most until the next try: maintenance's sweep (its `INTERVAL_SECONDS`; a turn that
           fails is followed by the next within the same time). All others try sooner: a
           heartbeat, ingest's look at its lines, a scaler's and the operator's look each second,
           a worker's pull after 1.0 s at most (`storage.trouble`), a subscription after 0.5 s
    0.8 s  are left for that turn: it puts in the line what the new primary lacks, for which the
           workers' pulls wait
"""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a new connection met."""

    server: str
    """Which run of which server; another one after each start."""
    writable: bool
    """Whether it takes writes; a replica does not."""


_UNKNOWN = Sight("", writable=False)
"""What was met while no look met anything: what is open may be of any server."""


class Watch:
    """Looks at one server, and has the connections to it left when it is not the same any more."""

    def __init__(self, url: str, observe: Callable[[], Awaitable[Sight]]) -> None:
        """``observe`` opens a connection of its own, and closes it. Needs a running loop."""
        self.loop = asyncio.get_running_loop()
        self.seen: Sight | None = None
        """What the last observation met that met anything."""
        self._changes = 0
        self._url = url
        self._observe = observe
        self._tended: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def changes(self) -> int:
        """Count how often the server has become another one.

        A connection that was begun before a change may have met the old server, and be open only
        after all that was open has been left.
        """
        return self._changes

    def tend(self, connection: Any, leave: Callable[[Any], None]) -> None:
        """Call ``leave(connection)`` when the server has become another one."""
        self._tended[connection] = leave
        self._over.clear()
        if self._task is None or self._task.done():
            self._task = self.loop.create_task(self._run(), name="watch a server")

    def forget(self, connection: Any) -> None:
        """Forget a connection that was closed. A look that is under way ends by itself.

        Cancelled in its middle, the client would leave a socket open.
        """
        self._tended.pop(connection, None)
        if not self._tended:
            self._over.set()
            _watches.pop(self._url, None)

    async def end(self, connection: Any) -> None:
        """Forget a connection; with the last one, wait until the watch has ended.

        Else the loop may end in the middle of a look. It takes `QUERY_TIMEOUT_SECONDS` at most.
        """
        self.forget(connection)
        if self._task is not None and not self._tended:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._tended:
            await self._turn()
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_SECONDS):
                    await self._over.wait()

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(QUERY_TIMEOUT_SECONDS):
                sight = await self._observe()
        except Exception as error:  # callers of the server meet and report it too
            if fault_of(error) is Fault.BUG:
                _log.exception("watch_failed")
            self.seen = self.seen or _UNKNOWN
            return  # away, or we may not ask: nothing was learnt
        before, self.seen = self.seen, sight
        if before not in (None, sight):
            _log.warning("another_server", writable=sight.writable, left=len(self._tended))
            self._leave_all()

    def _leave_all(self) -> None:
        self._changes += 1
        for connection, leave in list(self._tended.items()):
            with suppress(Exception):  # it may just be closing
                leave(connection)


_watches: dict[str, Watch] = {}


def watch_of(url: str, observe: Callable[[], Awaitable[Sight]]) -> Watch:
    """Return the watch of this process for a URL."""
    watch = _watches.get(url)
    if watch is None or watch.loop is not asyncio.get_running_loop():
        watch = _watches[url] = Watch(url, observe)
    return watch
