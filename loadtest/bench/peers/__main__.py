"""``python -m loadtest.bench.peers NAME prepare | enqueue FIRST COUNT | worker``.

Peers run in processes of their own: their libraries start threads, loops and signal handlers
when imported. ``enqueue`` prints the Unix time at which it began.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from loadtest.bench.peers.protocol import Peer


async def _enqueue(peer: Peer, jobs: range) -> None:
    print(time.time(), flush=True)
    await peer.enqueue(jobs)


def main(name: str, what: str, *numbers: str) -> None:
    """Do one thing, or become the library's worker."""
    peer = cast("Peer", import_module(f"loadtest.bench.peers.{name}"))
    match what:
        case "prepare":
            asyncio.run(peer.prepare())
        case "enqueue":
            first, count = map(int, numbers)
            asyncio.run(_enqueue(peer, range(first, first + count)))
        case "worker":
            command = peer.worker_command()
            os.execv(command[0], command)  # noqa: S606 (so that the pid is the worker's)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
