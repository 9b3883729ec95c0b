"""A pipe by which a supervisor says when a process that it started early may begin.

The process has its imports done by then. Nothing is ever written: that the writing end was closed
says it, to a successor as well, and the kernel closes it when the supervisor dies.
"""

from __future__ import annotations

import asyncio
import os


class StartPipe:
    """The supervisor's side."""

    def __init__(self) -> None:
        """No process may begin before `open`."""
        self.reader, self._writer = os.pipe()
        """``reader`` is for the processes: they inherit it and wait in `until_open`."""
        self._is_open = asyncio.Event()

    def open(self) -> None:
        """Let all that wait begin, and their successors at once."""
        if not self._is_open.is_set():
            os.close(self._writer)
        self._is_open.set()

    async def wait(self) -> None:
        """Wait until it is open."""
        await self._is_open.wait()

    def close(self) -> None:
        """Close the reading end: no process will inherit it any more."""
        os.close(self.reader)


async def until_open(reader: int) -> None:
    """Wait until the supervisor has let this process begin."""
    is_open = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(reader, is_open.set)
    try:
        await is_open.wait()
    finally:
        loop.remove_reader(reader)
