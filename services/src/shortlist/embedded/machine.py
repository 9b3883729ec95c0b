"""What this machine has for us, or the container that we are in: cores, memory, open files.

A container's limits are its control group's, and those of each group above it (cgroups(7), version
2 and 1); ``/proc`` shows the whole machine's even there. Only read, never set.
"""

from __future__ import annotations

import math
import os
import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")
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


def look(proc: Path = _PROC, groups: Path = _GROUPS) -> Machine:
    """What there is now."""
    return Machine(
        cores=cores(proc, groups),
        memory_bytes=min([_memory_available(proc), *_memory_left_of_groups(proc, groups)]),
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
    )


def cores(proc: Path = _PROC, groups: Path = _GROUPS) -> int:
    """Cores that we may use: by affinity, and by the quota of time; a part of one counts whole."""
    allowed = len(os.sched_getaffinity(0))
    quotas = [math.ceil(quota) for quota in _cpu_quotas(proc, groups)]
    return max(1, min([allowed, *quotas]))


def raise_open_files(wanted: int) -> None:
    """Let us and our children have as many open files as wanted, or as is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, wanted)), hard))


def too_few_files(found: Machine) -> str | None:
    """A sentence when nothing can work with so few open files."""
    if found.files >= FEWEST_FILES:
        return None
    return (
        f"Only {found.files} files may be open at once (ulimit -Hn), and {FEWEST_FILES} are "
        "needed at least. Raise the limit."
    )


def few_files(found: Machine, connections: int, own: int) -> str | None:
    """A sentence when ingest takes fewer connections than it is set to, beside its own files."""
    if found.files >= connections + own:
        return None
    return (
        f"Ingest takes no more than {found.files - own} connections at once: only {found.files} "
        f"files may be open (ulimit -Hn), and {connections + own} are needed for {connections}."
    )


def _memory_available(proc: Path) -> int:
    for line in (proc / "meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _memory_left_of_groups(proc: Path, groups: Path) -> Iterator[int]:
    """What each group that limits us has left; file pages that it can drop count as free."""
    for group in _groups_of_ours(proc, groups, "memory"):
        for limit, used, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            with suppress(OSError, ValueError):  # the other version's, or "max"
                left = _number(group / limit) - _number(group / used)
                yield max(0, left + _statistic(group / "memory.stat", cache))


def _cpu_quotas(proc: Path, groups: Path) -> Iterator[float]:
    for group in _groups_of_ours(proc, groups, "cpu"):
        with suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
            yield int(quota) / int(period)  # version 2; "max 100000" is no number
        with suppress(OSError, ValueError):
            quota_us = _number(group / "cpu.cfs_quota_us")
            if quota_us > 0:
                yield quota_us / _number(group / "cpu.cfs_period_us")


def _groups_of_ours(proc: Path, groups: Path, controller: str) -> Iterator[Path]:
    """Our group of a controller and those above it, as far as they are to be seen from here."""
    for line in (proc / "self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top = groups
        elif controller in controllers.split(","):
            top = groups / controller
        else:
            continue
        inside = Path(path.lstrip("/"))
        yield from (top / part for part in (inside, *inside.parents) if (top / part).is_dir())


def _number(path: Path) -> int:
    return int(path.read_text(encoding="utf-8"))


def _statistic(path: Path, name: str) -> int:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name} "):
            return int(line.split()[1])
    return 0
