"""Whether the kernel has just ended a process of ours for want of memory.

A process that SIGKILL ended cannot say who sent it: the kernel, a person or another program. The
kernel counts what it ends, so that memory is blamed with evidence only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.runtime import machine

if TYPE_CHECKING:
    from collections.abc import Callable


class MemoryKills:
    """Compares the kernel's count of such ends with what it was a second or two ago."""

    def __init__(self, count: Callable[[], int] = machine.memory_kills) -> None:
        """``count``: how many there have been."""
        self._count = count
        self._before = self._last = count()

    def observe(self) -> None:
        """Read the count; the supervisor calls it each second. What is older than that is past."""
        self._before, self._last = self._last, self._count()

    def any_now(self) -> bool:
        """Tell whether the kernel ended a process since the reading before the last one."""
        return self._count() > self._before
