"""Bytes that clients have sent and that are not finished: one budget for a whole process.

The arithmetic, for the chart's pod of 512 MiB. What is counted is what it costs here, measured on
CPython 3.11 with uvloop (`test_hostile_clients_in_a_small_pod` holds the sum):

| what | counted as | at most |
|---|---|---|
| a connection | `CONNECTION_BYTES` | 16 000 × 8 KiB = 125 MiB |
| a request that runs: task, scope, stream | `RUNNING_BYTES`, its fields and body | by the sum |
| a request that waits behind one | `QUEUED_BYTES`, its fields and body | 32 each, and the sum |
| a field of a head | `FIELD_BYTES` | 100 in a head |
| an unfinished head or body | what has arrived | 32 KiB, 64 KiB, and the sum |
| what the kernel holds while we do not read, or the client does not | `SOCKET_BYTES` | by the sum |
| an application that waits for its commit | its text in memory | by the sum |

The sum is the budget: half of the memory that the process may have, so 256 MiB. The other half is
Python with its modules and pools (90 MiB), what a commit copies on its way to Postgres (two groups
of 4 MiB, three times: 24 MiB), the answers under way, and what the allocator cannot give back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTION_BYTES = 8_192
RUNNING_BYTES = 16_384
QUEUED_BYTES = 4_096
FIELD_BYTES = 160
SOCKET_BYTES = 131_072
"""`shortlist.runtime.http_server` asks the kernel for buffers of this size, one each way."""

SHARE = 0.5
"""Of the process's memory."""

MOST_BYTES = 1 << 30
LEAST_BYTES = 16 << 20


def _nothing_to_give_up() -> bool:
    return False


class Budget:
    """Counts bytes. Past the limit it has what is slowest given up, and then is full.

    It may be exceeded by what one read brings (256 KiB): memory is taken before it is counted.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Nothing is held yet."""
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self.give_up: Callable[[], bool] = _nothing_to_give_up
        """Frees something that another client holds; False when nothing can be freed."""

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be begun."""
        return self.held_bytes > self.limit_bytes

    def add(self, count: int) -> None:
        """Count bytes that are held now; a negative count: that are not any more."""
        self.held_bytes += count
        while count > 0 and self.is_full and self.give_up():
            pass


def share_of(memory_bytes: int) -> int:
    """Return the budget of a process that may have so much memory."""
    return max(LEAST_BYTES, min(MOST_BYTES, int(memory_bytes * SHARE)))
