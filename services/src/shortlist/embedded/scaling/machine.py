"""What `shortlist up` makes of this machine, or of the container that it is in.

`shortlist.runtime.machine` reads cores and memory; here they become workers, connections
and open files.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.runtime.machine import GROUPS, PROC, cores, memory_left_bytes

if TYPE_CHECKING:
    from pathlib import Path

_MIB = 2**20

WORKER_BYTES = 80 * _MIB
"""One worker: 70 MB measured, and what it holds."""

SERVERS_BYTES = 400 * _MIB
"""All else together: Postgres 110, ingest 90, the dashboard 75, maintenance 65, we 60."""

CONNECTION_BYTES = 10 * _MIB
"""One of Postgres's processes: 5 measured after an hour; caches grow."""

FEWEST_CONNECTIONS, MOST_CONNECTIONS = 100, 1000
"""Above a thousand, what Postgres spends on looking at its own processes shows."""

FEWEST_FILES = 256
"""Ingest keeps 128 for itself, and must have some for clients."""


@dataclass(frozen=True, slots=True)
class Machine:
    """``memory_bytes``: what may still be taken, before anything of ours runs."""

    cores: int
    memory_bytes: int
    files: int

    @property
    def workers_in_memory(self) -> int:
        """Workers that there is memory for beside everything else; one at least."""
        return max(1, (self.memory_bytes - SERVERS_BYTES) // WORKER_BYTES)

    @property
    def postgres_connections(self) -> int:
        """Connections that half of the memory is enough for."""
        affordable = self.memory_bytes // 2 // CONNECTION_BYTES
        return max(FEWEST_CONNECTIONS, min(MOST_CONNECTIONS, affordable))


def read(proc: Path = PROC, groups: Path = GROUPS) -> Machine:
    """Read what there is now."""
    return Machine(
        cores=cores(proc, groups),
        memory_bytes=memory_left_bytes(proc, groups),
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
    )


def raise_open_files(wanted: int) -> None:
    """Let us and our children have as many open files as wanted, or as is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, wanted)), hard))


def too_few_files(found: Machine) -> str | None:
    """Return a sentence when nothing can work with so few open files."""
    if found.files >= FEWEST_FILES:
        return None
    return (
        f"Only {found.files} files may be open at once (ulimit -Hn), and {FEWEST_FILES} are "
        "needed at least. Raise the limit."
    )


def few_files(found: Machine, connections: int, own: int) -> str | None:
    """Return a sentence when ingest takes fewer connections than are set, beside its own files."""
    if found.files >= connections + own:
        return None
    return (
        f"Ingest takes no more than {found.files - own} connections at once: only {found.files} "
        f"files may be open (ulimit -Hn), and {connections + own} are needed for {connections}."
    )
